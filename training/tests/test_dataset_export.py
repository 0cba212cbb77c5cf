"""What is exported can be imported again, and is the same: content, label and split."""

import io
import json
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tests.factories import make_maintainer
from common.errors import DomainError, InvalidInput
from common.media import images, texts
from common.media.content import Content
from predictions import categories, groups
from predictions.conditions import record_conditions
from predictions.models import CaptureCondition, Sample, SampleGroup
from predictions.tests.factories import keep_picture, make_picture_bytes, make_project
from review import decisions, ground_truth
from training.data import dataset_export, dataset_import, datasets, formats
from training.models import DatasetItem

pytestmark = pytest.mark.django_db

PICTURES = ["folder", "csv", "coco", "label_studio", "parquet"]
TEXTS = ["folder", "csv", "label_studio", "parquet"]


def needs(alias: str) -> None:
    if alias == "parquet":
        pytest.importorskip("pyarrow", reason="an extra, see README.md")


def fill(project, names=("cats", "dogs"), *, each: int = 5) -> None:
    """Label samples of each category, some of them in groups and with conditions."""
    for place, name in enumerate(names):
        category, _new = categories.add_category(project, name)
        for number in range(each):
            if project.is_of_texts:
                text = f"{name}, “{number}”\n=1;2,\tü"
                content: Content = texts.decode_upload(text.encode())
            else:
                picture = make_picture_bytes(
                    "black", size=(20 + place, 20 + number), format="PNG" if number % 2 else "JPEG"
                )
                content = images.decode_upload(picture)
            sample, _new = keep_picture(project, content, by=None)
            decisions.label_many(project, [(sample, category)], by=None, reason="")
            if number < 2:
                groups.put_in_group([sample], f"lot {number}")
                record_conditions(sample, {"line": str(number), "hour": "07"})


def export(dataset, alias: str) -> bytes:
    return b"".join(dataset_export.export_dataset(dataset, alias))


def import_bytes(project, data: bytes, name: str, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        tree = formats.tree_of(path)
        return dataset_import.import_dataset(project, tree, by=None, **options)


def facts(project) -> dict[str, tuple]:
    """Return what is to come through, by the digests of the contents."""
    frozen = datasets.freeze_dataset(project)
    found = {}
    for item in DatasetItem.objects.filter(dataset=frozen).select_related("sample", "category"):
        sample = item.sample
        found[sample.sha256] = (
            item.category.name,
            item.split,
            sorted(SampleGroup.objects.filter(sample=sample).values_list("name", flat=True)),
            sorted(CaptureCondition.objects.filter(sample=sample).values_list("name", "value")),
        )
    return found


@pytest.mark.parametrize("alias", PICTURES)
def test_pictures_come_back_with_label_split_group_and_conditions(alias):
    needs(alias)
    project, empty = make_project(categories=[]), make_project(categories=[])
    fill(project)
    before = facts(project)
    name = f"data.{formats.FORMATS[alias].suffix}"
    imported = import_bytes(empty, export(project.datasets.get(), alias), name)
    assert imported.format.alias == (alias if alias != "folder" else "csv")
    assert not imported.report.refused and not imported.report.duplicates
    assert facts(empty) == before
    assert len(before) == 10 and len({split for _name, split, *_more in before.values()}) > 1


@pytest.mark.parametrize("alias", TEXTS)
def test_texts_come_back_as_they_are(alias):
    needs(alias)
    project, empty = (make_project(modality="text", categories=[]) for _ in range(2))
    fill(project)
    before = facts(project)
    name = f"data.{formats.FORMATS[alias].suffix}"
    imported = import_bytes(empty, export(project.datasets.get(), alias), name)
    assert not imported.report.refused
    assert facts(empty) == before


def test_folders_alone_tell_category_and_split():
    project, empty = make_project(categories=[]), make_project(categories=[])
    fill(project)
    before = facts(project)
    bare = io.BytesIO()
    packed = zipfile.ZipFile(io.BytesIO(export(project.datasets.get(), "folder")))
    with zipfile.ZipFile(bare, "w") as archive:
        for name in packed.namelist():
            if name != "labels.csv":
                archive.writestr(name, packed.read(name))
    imported = import_bytes(empty, bare.getvalue(), "data.zip")
    assert imported.format.alias == "folder"
    assert {key: each[0] for key, each in facts(empty).items()} == {
        key: each[0] for key, each in before.items()
    }
    splits = [each[1] for each in before.values()]
    assert imported.report.splits == {each: splits.count(each) for each in set(splits)}


@pytest.mark.parametrize("alias", ["coco", "label_studio"])
def test_several_categories_of_a_sample_come_back(alias):
    project, empty = (make_project(multilabel=True, categories=[]) for _ in range(2))
    fill(project)
    sample = ground_truth.labelled_samples(project).order_by("pk")[0]
    both = list(project.categories.order_by("pk"))
    decisions.label_many_multilabel(project, [(sample, both)], by=None, reason="")
    version = datasets.freeze_dataset(project)
    import_bytes(empty, export(version, alias), "data.zip")
    again = datasets.freeze_dataset(empty)
    counts = [datasets.category_counts(each) for each in (version, again)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("alias", ["folder", "csv", "parquet"])
def test_formats_of_one_category_refuse_a_project_of_several(alias):
    project = make_project(multilabel=True, categories=[])
    with pytest.raises(InvalidInput, match="one category per sample"):
        dataset_export.export_samples(project, [], alias)


# Whatever somebody may call a category
NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" /\\.:*?\"<>|=,;'#%&"),
    min_size=1,
    max_size=40,
)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(names=st.lists(NAMES, min_size=2, max_size=3))
@pytest.mark.parametrize("alias", TEXTS)
def test_any_name_of_a_category_comes_back(alias, names):
    needs(alias)
    project, empty = (make_project(modality="text", categories=[]) for _ in range(2))
    for number, name in enumerate(names):
        try:
            category, _new = categories.add_category(project, name)
        except InvalidInput:
            continue  # no name that a category can have
        content = texts.decode_upload(f"{number}: {name}".encode())
        sample, _new = keep_picture(project, content, by=None)
        decisions.label_many(project, [(sample, category)], by=None, reason="")
    samples = Sample.objects.filter(project=project).order_by("pk")
    data = b"".join(dataset_export.export_samples(project, samples, alias))
    if samples:
        imported = import_bytes(empty, data, f"a.{formats.FORMATS[alias].suffix}")
        assert not imported.report.refused
    assert labels(empty) == labels(project)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(places=st.lists(st.floats(0, 0.999), min_size=1, max_size=4), letter=st.integers(0, 255))
@pytest.mark.parametrize("alias", TEXTS)
def test_whatever_is_damaged_is_told(alias, places, letter):
    needs(alias)
    project, empty = (make_project(modality="text", categories=[]) for _ in range(2))
    fill(project, each=1)
    samples = Sample.objects.filter(project=project)
    data = bytearray(b"".join(dataset_export.export_samples(project, samples, alias)))
    for place in places:
        data[int(place * len(data))] = letter
    for asked in (alias, ""):
        with suppress(DomainError):
            import_bytes(empty, bytes(data), "data", alias=asked, dry_run=True)


def labels(project) -> dict[str, str]:
    names = dict(project.categories.values_list("pk", "name"))
    rows = ground_truth.labelled_samples(project).values_list("sha256", "true_category_id")
    return {digest: names[key] for digest, key in rows}


def test_samples_of_a_query_are_exported_with_their_labels_of_now():
    project = make_project(categories=[])
    fill(project)
    sample = Sample.objects.filter(project=project).first()
    decisions.reopen(sample, by=None)
    some = Sample.objects.filter(project=project).order_by("pk")[:3]
    data = b"".join(dataset_export.export_samples(project, some, "coco"))
    told = json.loads(zipfile.ZipFile(io.BytesIO(data)).read("annotations/labels.json"))
    assert (len(told["images"]), len(told["annotations"])) == (3, 2)


def test_pictures_that_are_gone_are_left_out_and_named():
    project = make_project(categories=[])
    fill(project)
    version = datasets.freeze_dataset(project)
    sample = Sample.objects.filter(project=project).first()
    sample.storage.delete(sample.file_name)
    archive = zipfile.ZipFile(io.BytesIO(export(version, "folder")))
    assert archive.read("left_out.txt").decode() == f"{sample.sha256}\n"
    assert (
        sum(name.startswith(("train/", "test/", "validation/")) for name in archive.namelist()) == 9
    )


def test_an_export_begins_before_it_is_read_to_its_end():
    project = make_project(categories=[])
    fill(project)
    chunks = dataset_export.export_dataset(datasets.freeze_dataset(project), "folder")
    assert next(chunks)[:2] == b"PK"
    assert len(list(chunks)) > 5


def test_the_same_data_set_is_the_same_file():
    project = make_project(categories=[])
    fill(project)
    version = datasets.freeze_dataset(project)
    assert export(version, "label_studio") == export(version, "label_studio")


def test_without_its_library_parquet_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    project = make_project(categories=[])
    with pytest.raises(InvalidInput, match="pip install pyarrow=="):
        dataset_export.export_samples(project, [], "parquet")
    with pytest.raises(InvalidInput, match="pip install pyarrow=="):
        import_bytes(project, b"PAR1", "a.parquet")


def test_commands_export_and_import(tmp_path):
    project, empty = make_project(categories=[]), make_project(categories=[])
    fill(project)
    datasets.freeze_dataset(project)
    out, path = io.StringIO(), tmp_path / "data.zip"
    call_command("export_dataset", path, "--project", project.slug, stdout=out, stderr=out)
    report = tmp_path / "report.csv"
    options = ["--project", empty.slug, "--report", report]
    call_command("import_dataset", path, *options, "--dry-run", stdout=out)
    assert "nothing was kept" in out.getvalue()
    assert not Sample.objects.filter(project=empty).exists()
    call_command("import_dataset", path, *options, stdout=out)
    assert len(report.read_text().splitlines()) == 11
    assert labels(empty) == labels(project)


def test_a_command_without_a_data_set_says_so(tmp_path):
    project = make_project(categories=[])
    with pytest.raises(CommandError, match="no data set yet"):
        call_command("export_dataset", tmp_path / "a.zip", "--project", project.slug)
    assert not list(tmp_path.iterdir())


def test_the_page_of_a_data_set_offers_its_formats_and_streams_one(client):
    project = make_project(categories=[])
    fill(project)
    version = datasets.freeze_dataset(project)
    client.force_login(make_maintainer())
    page = f"/training/data-sets/{version.pk}/"
    assert all(f"{page}export/{alias}/" in client.get(page).content.decode() for alias in PICTURES)
    answer = client.get(f"{page}export/coco/")
    assert answer.streaming and f"{project.slug}-data-set-1-coco.zip" in str(answer.headers)
    names = zipfile.ZipFile(io.BytesIO(b"".join(answer))).namelist()
    assert "annotations/labels.json" in names
    assert client.get(f"{page}export/floppy/").status_code == 400

"""Data sets of other tools: what each reader takes and refuses, and what hostile ones get."""

import io
import json
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from common.errors import InvalidInput
from predictions.models import CaptureCondition, Category, Sample, SampleGroup
from predictions.tests.factories import make_picture_bytes, make_project
from review import ground_truth
from review.models import Decision
from training.data import dataset_import, formats
from training.data.formats import json_items, trees
from training.tests.factories import make_folder

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project(categories=[])


@pytest.fixture
def texts():
    return make_project(modality="text", categories=[])


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def pictures(*names: str) -> dict[str, bytes]:
    """Return a picture for each name, each different from the others."""
    return {
        name: make_picture_bytes("black", size=(16 + len(names), 16 + place), format="PNG")
        for place, name in enumerate(names)
    }


def run(project, path: Path, **options):
    labels = options.pop("labels", None)
    tree = formats.tree_of(path)
    if labels:
        tree = formats.with_labels(tree, labels)
    return dataset_import.import_dataset(project, tree, by=None, **options).report


def refusals(report) -> dict[str, str]:
    return {told.name: told.reason for told in report.refused}


def write_json(path: Path, value) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


# Folders


def test_the_folders_of_a_split_are_read_through(project, tmp_path):
    make_folder(tmp_path / "train" / "cats", "1.jpg", "2.jpg")
    make_folder(tmp_path / "VAL" / "dogs", "3.jpg")
    make_folder(tmp_path / "test" / "cats", "4.jpg")
    (tmp_path / "README.txt").write_text("A licence.")
    report = run(project, tmp_path)
    assert report.taken == {"cats": 3, "dogs": 1}
    assert report.splits == {"train": 2, "validation": 1, "test": 1}
    assert "training 2, validation 1, test 1" in dataset_import.split_sentence(report.splits)


@pytest.mark.parametrize(
    "names",
    [
        ["a/train/cats/1.jpg", "a/test/cats/2.jpg"],
        ["a/cats/1.jpg", "a/dogs/2.jpg", "b/cats/3.jpg"],
        ["a/cats/1.jpg", "a/dogs/2.jpg"],
    ],
)
def test_a_folder_of_data_sets_is_refused_with_what_it_looks_like(project, tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(make_picture_bytes())
    with pytest.raises(InvalidInput, match="look like data sets") as refused:
        run(project, tmp_path)
    assert f"{tmp_path}/a" in str(refused.value)
    assert not Category.objects.exists()


def test_folders_within_categories_may_still_be_groups(project, tmp_path):
    make_folder(tmp_path / "cats" / "lot 1", "1.jpg")
    make_folder(tmp_path / "dogs" / "lot 1", "2.jpg")
    assert run(project, tmp_path, sub_folders_are_groups=True).taken == {"cats": 1, "dogs": 1}


def test_an_archive_may_wrap_everything_in_a_folder(project, tmp_path):
    files = pictures("pets/train/cats/1.png", "pets/train/dogs/2.png", "pets/test/cats/3.png")
    report = run(project, pack(tmp_path / "pets.zip", files | {"pets/LICENSE": b"free"}))
    assert report.taken == {"cats": 2, "dogs": 1}
    assert report.splits == {"train": 2, "test": 1}


def test_an_archive_of_one_category_keeps_its_folder(project, tmp_path):
    path = pack(tmp_path / "a.zip", pictures("cats/1.png", "cats/2.png"))
    assert run(project, path).taken == {"cats": 2}


def test_what_datumaro_writes_as_imagenet_is_read(project, tmp_path):
    make_folder(tmp_path / "train" / "label_0", "label_0_1.jpg")
    make_folder(tmp_path / "train" / "no_label", "2.jpg")
    make_folder(tmp_path / "val" / "label_1", "label_1_3.jpg")
    report = run(project, tmp_path)
    assert report.taken == {"label_0": 1, "label_1": 1}
    assert refusals(report) == {"train/no_label/2.jpg": "It has no label."}


def test_a_folder_of_texts_is_read_file_by_file(texts, tmp_path):
    for name in ("praise/1.txt", "praise/2.txt", "complaint/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"This is {name}.")
    assert run(texts, tmp_path).taken == {"praise": 2, "complaint": 1}


# A dry run, and the report


def test_a_dry_run_tells_everything_and_keeps_nothing(project, tmp_path):
    make_folder(tmp_path / "cats", "1.jpg", "2.jpg")
    (tmp_path / "cats" / "3.jpg").write_bytes(b"no picture")
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs" / "4.jpg").write_bytes((tmp_path / "cats" / "1.jpg").read_bytes())
    out = io.StringIO()
    listener = dataset_import.report_writer(out)
    report = run(project, tmp_path, dry_run=True, listener=listener)
    assert report.taken == {"cats": 2}
    assert not Sample.objects.exists() and not Category.objects.exists()
    rows = [line.split(",")[:3] for line in out.getvalue().splitlines()]
    assert rows[0] == ["file", "outcome", "category"]
    assert sorted(rows[1:]) == [
        ["cats/1.jpg", "taken", "cats"],
        ["cats/2.jpg", "taken", "cats"],
        ["cats/3.jpg", "unreadable", "cats"],
        ["dogs/4.jpg", "contradicting", "dogs"],
    ]
    assert run(project, tmp_path).taken == report.taken


def test_a_dry_run_knows_what_is_there_already(project, tmp_path):
    make_folder(tmp_path / "cats", "1.jpg")
    run(project, tmp_path)
    (tmp_path / "cats").rename(tmp_path / "dogs")
    report = run(project, tmp_path, dry_run=True)
    assert [told.outcome for told in report.refused] == ["contradicting"]
    assert Decision.objects.count() == 1


def test_a_name_in_the_report_is_no_formula(tmp_path):
    out = io.StringIO()
    dataset_import.report_writer(out)("=1+1.jpg", "taken", "@cats", "")
    assert out.getvalue().splitlines()[1] == "'=1+1.jpg,taken,'@cats,"


# Tables


def test_a_table_in_an_archive_tells_groups_conditions_and_splits(project, tmp_path):
    table = (
        "file_name,label,split,group,capture[line]\n"
        "1.png,cats,train,lot 1,3\n2.png,dogs,val,,\nlost.png,cats,,,\n"
    )
    files = pictures("pets/1.png", "pets/2.png") | {"pets/metadata.csv": table.encode()}
    report = run(project, pack(tmp_path / "a.zip", files))
    assert report.taken == {"cats": 1, "dogs": 1}
    assert report.splits == {"train": 1, "validation": 1}
    assert refusals(report) == {"lost.png": "The table names it, but it is not in the folder."}
    assert SampleGroup.objects.get().name == "lot 1"
    assert CaptureCondition.objects.get(name="line").value == "3"


def test_a_table_may_come_beside_the_archive(project, tmp_path):
    path = pack(tmp_path / "a.zip", pictures("pets/1.png", "pets/2.png"))
    labels = tmp_path / "labels.csv"
    labels.write_text("path;category\npets/1.png;cats\npets/2.png;dogs\n")
    assert run(project, path, labels=labels).taken == {"cats": 1, "dogs": 1}


def test_letters_that_are_composed_otherwise_are_the_same_name(project, tmp_path):
    # As macOS packs them; the table has the usual form
    files = pictures("cafe\u0301.png") | {"labels.csv": "path,category\ncaf\u00e9.png,é\n".encode()}
    assert run(project, pack(tmp_path / "a.zip", files)).taken == {"é": 1}


def test_a_table_of_texts_is_read_as_a_stream(texts, tmp_path):
    path = tmp_path / "letters.csv"
    path.write_text("text,label,group\nGood soup,praise,7\nCold soup,complaint,\nNothing,,\n")
    report = run(texts, path)
    assert report.taken == {"praise": 1, "complaint": 1}
    assert refusals(report) == {"letters.csv:4": "It has no label."}
    assert SampleGroup.objects.get().name == "7"


# COCO


def coco(images, annotations, categories=("cats", "dogs")):
    return {
        "info": {},
        "images": [{"id": key, "file_name": name} for key, name in images.items()],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": [0, 0, 1, 1]}
            for number, (image, category) in enumerate(annotations, start=1)
        ],
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(categories, start=1)
        ],
    }


def test_what_datumaro_writes_as_coco_is_read(project, tmp_path):
    make_folder(tmp_path / "images" / "train", "1.jpg", "2.jpg")
    make_folder(tmp_path / "images" / "val", "1.jpg")
    write_json(
        tmp_path / "annotations" / "labels_train.json",
        coco({1: "1.jpg", 2: "2.jpg"}, [(1, 1), (2, 2)]),
    )
    write_json(tmp_path / "annotations" / "labels_val.json", coco({1: "1.jpg"}, [(1, 2)]))
    report = run(project, tmp_path)
    assert report.taken == {"cats": 1, "dogs": 2}
    assert report.splits == {"train": 2, "validation": 1}


def test_what_roboflow_writes_as_coco_is_read(project, tmp_path):
    files = pictures("train/1.png", "valid/2.png")
    for split, name in (("train", "1.png"), ("valid", "2.png")):
        labels = coco({0: name}, [(0, 1), (0, 1)])
        files[f"{split}/_annotations.coco.json"] = json.dumps(labels).encode()
    report = run(project, pack(tmp_path / "a.zip", files))
    assert report.taken == {"cats": 2}
    assert report.splits == {"train": 1, "validation": 1}


def test_coco_tells_what_is_missing_unlabelled_or_of_several_categories(project, tmp_path):
    make_folder(tmp_path, "1.jpg", "2.jpg")
    images = {1: "1.jpg", 2: "2.jpg", 3: "lost.jpg"}
    write_json(tmp_path / "labels.json", coco(images, [(1, 1), (1, 2)]))
    report = run(project, tmp_path)
    assert refusals(report) == {
        "1.jpg": "It has several categories, and this project takes one: “cats”, “dogs”.",
        "2.jpg": "It has no label.",
        "lost.jpg": "The picture is not in the archive.",
    }
    assert [told.outcome for told in report.refused][0] == "contradicting"


def test_where_categories_do_not_exclude_each_other_coco_may_name_several(tmp_path):
    project = make_project(multilabel=True, categories=[])
    make_folder(tmp_path, "1.jpg")
    write_json(tmp_path / "labels.json", coco({1: "1.jpg"}, [(1, 1), (1, 2)]))
    assert run(project, tmp_path).total_added == 1
    (sample,) = ground_truth.labelled_samples(project)
    assert [len(each) for each in ground_truth.additional_categories(project).values()] == [1]
    again = run(project, tmp_path)
    assert [told.outcome for told in again.duplicates] == ["there"]


def test_coco_is_no_format_of_texts(texts, tmp_path):
    with pytest.raises(InvalidInput, match="no format “coco”"):
        run(texts, write_json(tmp_path / "a.json", coco({}, [])), alias="coco")


# Label Studio


def task(key: int, data: dict, *choices: str, cancelled: bool = False) -> dict:
    result = {"type": "choices", "from_name": "c", "to_name": "i"}
    annotations = [
        {"was_cancelled": cancelled, "result": [result | {"value": {"choices": [choice]}}]}
        for choice in choices
    ]
    return {"id": key, "data": data, "annotations": annotations, "predictions": []}


def test_choices_of_label_studio_are_read(project, tmp_path):
    make_folder(tmp_path, "1.jpg", "a b.jpg", "3.jpg", "4.jpg")
    tasks = [
        task(1, {"image": "/data/upload/1/0123abcd-1.jpg"}, "cats"),
        task(2, {"img": "/data/local-files/?d=photos/a%20b.jpg"}, "dogs"),
        task(3, {"image": "3.jpg"}, "cats", "dogs"),
        task(4, {"image": "4.jpg"}, "cats", cancelled=True),
        task(5, {"image": "https://example.com/5.jpg"}, "cats"),
        {"id": 6},
    ]
    write_json(tmp_path / "export.json", tasks)
    report = run(project, tmp_path)
    assert report.taken == {"cats": 1, "dogs": 1}
    told = refusals(report)
    assert told["3.jpg"].startswith("Its annotators say different things")
    assert told["4.jpg"] == "It has no label."
    assert "not in the archive" in told["export.json:5"]
    assert told["export.json:6"] == "The task has no data."


def test_texts_of_label_studio_need_nothing_beside_the_json(texts, tmp_path):
    tasks = [task(1, {"text": "Good soup"}, "praise"), task(2, {"other": 7}, "praise")]
    report = run(texts, write_json(tmp_path / "export.json", tasks))
    assert report.taken == {"praise": 1}
    assert refusals(report) == {"export.json:2": "The task has no text."}


# JSON piece by piece


@pytest.mark.parametrize("size", [1, 3, 7, 1 << 18])
def test_elements_are_the_same_however_the_file_is_cut(monkeypatch, size):
    monkeypatch.setattr(json_items, "_CHUNK_BYTES", size)
    value = {"skip": {"a": [1]}, "images": [1, -2.5e3, "ü\\", {"x": [None]}], "end": [], "n": 12}
    file = io.BytesIO(json.dumps(value, ensure_ascii=False, indent=1).encode())
    assert list(json_items.elements("x", file)) == [("images", each) for each in value["images"]]


@pytest.mark.parametrize(
    "data",
    [b"", b"7", b"[1, 2", b'{"a": [1}', b'["\xff"]', b"[" * 200_000, b'{"a" 1}', b"[1 2]"],
)
def test_what_is_no_such_json_is_refused(data):
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(json_items.elements("x", io.BytesIO(data)))


def test_an_element_that_is_too_long_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(json_items, "MAX_ELEMENT", 1_000)
    monkeypatch.setattr(json_items, "_CHUNK_BYTES", 100)
    file = io.BytesIO(b'["' + b"a" * 100_000 + b'"]')
    with pytest.raises(InvalidInput, match="too long"):
        list(json_items.elements("x", file))
    assert file.tell() < 5_000


# Hostile archives


def test_paths_that_lead_out_are_told_and_not_read(project, tmp_path):
    files = pictures("cats/1.png", "../cats/2.png", "/etc/3.png", "cats/../../4.png", "cats\\5.png")
    report = run(project, pack(tmp_path / "a.zip", files))
    assert report.taken == {"cats": 1}
    assert len(report.refused) == 4


def test_links_encrypted_files_and_double_names_are_told(project, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        (data,) = pictures("x").values()
        archive.writestr("cats/1.png", data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cats/1.png", make_picture_bytes())
        link = zipfile.ZipInfo("cats/2.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert run(project, path).taken == {"cats": 1}
    assert refusals(run(project, path, dry_run=True)) == {
        "cats/1.png": "Another file in the archive has the same name.",
        "cats/2.png": "A link, which is not followed.",
    }


def test_a_name_with_a_nul_is_told(project, tmp_path):
    path = pack(tmp_path / "a.zip", pictures("cats/1.png", "cats/2X.png"))
    path.write_bytes(path.read_bytes().replace(b"cats/2X.png", b"cats/2\0.png"))
    report = run(project, path)
    assert report.taken == {"cats": 1} and len(report.refused) == 1


def test_an_archive_that_would_fill_a_disk_is_refused(project, tmp_path, monkeypatch):
    monkeypatch.setattr(trees, "RATIO_FROM_BYTES", 1_000)
    path = pack(tmp_path / "bomb.zip", {"cats/1.png": bytes(5_000_000)})
    with pytest.raises(InvalidInput, match="Unpacked"):
        run(project, path)


def test_of_a_file_that_grows_no_more_is_read_than_an_upload_may_have(project, tmp_path, settings):
    settings.UPLOAD_MAX_BYTES = 10_000
    path = pack(tmp_path / "a.zip", {"cats/1.png": bytes(5_000_000)})
    tree = formats.tree_of(path)
    assert len(tree.files[0].read(10_001)) == 10_001
    assert refusals(run(project, path))


def test_an_archive_with_too_many_files_is_refused_before_its_directory_is_read(
    project, tmp_path, monkeypatch
):
    path = pack(tmp_path / "a.zip", pictures("cats/1.png"))
    data = bytearray(path.read_bytes())
    # The length of the directory as the end of the archive tells it
    data[-10:-6] = struct.pack("<L", trees.MAX_DIRECTORY_BYTES + 1)
    path.write_bytes(data)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(InvalidInput, match="Import it in parts"):
        run(project, path)


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"PK" + bytes(100), b"PK\x05\x06" + bytes(10)])
def test_what_is_no_archive_is_told(project, tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InvalidInput, match="no ZIP archive"):
        run(project, tmp_path / "a.zip")


def test_a_damaged_picture_in_an_archive_is_told_and_the_others_go_on(project, tmp_path):
    path = pack(tmp_path / "a.zip", pictures("cats/1.png", "cats/2.png"))
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    report = run(project, path)
    assert report.taken == {"cats": 1}
    assert [told.outcome for told in report.refused] == ["unreadable"]


def test_what_says_nothing_is_refused(project, tmp_path):
    (tmp_path / "a.json").write_text('{"hello": 1}')
    with pytest.raises(InvalidInput, match="says what its samples show"):
        run(project, tmp_path / "a.json")


def test_a_missing_file_is_told(project, tmp_path):
    with pytest.raises(InvalidInput, match="No such file"):
        run(project, tmp_path / "nowhere.zip")


def test_a_linked_file_in_a_folder_is_not_followed(project, tmp_path):
    make_folder(tmp_path / "data" / "cats", "1.jpg")
    os.symlink("/etc/hostname", tmp_path / "data" / "cats" / "2.jpg")
    report = run(project, tmp_path / "data")
    assert refusals(report) == {"cats/2.jpg": "A link, which is not followed."}


# Parquet


@pytest.fixture
def arrow():
    return pytest.importorskip("pyarrow", reason="an extra, see README.md")


def write_parquet(arrow, path: Path, columns: dict, features: dict | None = None) -> Path:
    import pyarrow.parquet

    table = arrow.table(columns)
    if features:
        told = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": told})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path, row_group_size=2)
    return path


def images_of(*names: str) -> list[dict]:
    return [{"bytes": data, "path": name} for name, data in pictures(*names).items()]


def test_class_names_of_hugging_face_stand_in_the_schema(project, tmp_path, arrow):
    columns = {"image": images_of("1.png", "2.png", "3.png", "4.png"), "label": [1, 0, 1, 7]}
    features = {"label": {"names": ["cats", "dogs"], "_type": "ClassLabel"}}
    write_parquet(arrow, tmp_path / "data" / "train-00000-of-00001.parquet", columns, features)
    report = run(project, tmp_path)
    assert report.taken == {"cats": 1, "dogs": 2}
    assert report.splits == {"train": 4}
    assert list(refusals(report).values()) == ["Its label is a number that has no name."]


def test_labels_of_parquet_may_be_names_or_missing(project, tmp_path, arrow):
    columns = {"image": images_of("1.png", "2.png"), "label": ["cats", None]}
    report = run(project, write_parquet(arrow, tmp_path / "a.parquet", columns))
    assert report.taken == {"cats": 1}
    assert list(refusals(report).values()) == ["It has no label."]


def test_a_picture_that_is_elsewhere_is_told(project, tmp_path, arrow):
    image = [{"bytes": None, "path": "/home/a/1.png"}]
    kinds = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    columns = {"image": arrow.array(image, kinds), "label": ["cats"]}
    report = run(project, write_parquet(arrow, tmp_path / "a.parquet", columns))
    assert list(refusals(report).values()) == ["Its picture is not in the file."]


def test_texts_of_parquet_are_read_from_an_archive_too(texts, tmp_path, arrow):
    columns = {"text": ["Good soup", "Cold soup"], "label": ["praise", "complaint"]}
    alone = write_parquet(arrow, tmp_path / "a.parquet", columns)
    path = pack(tmp_path / "a.zip", {"data/test-0.parquet": alone.read_bytes()})
    report = run(texts, path)
    assert (report.taken, report.splits) == ({"praise": 1, "complaint": 1}, {"test": 2})


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"picture": [b"x"], "class_name": ["a"]}, "needs the columns"),
        ({"image": [1], "label": ["a"]}, "holds neither pictures nor texts"),
    ],
)
def test_parquet_of_another_layout_is_refused(project, tmp_path, arrow, columns, problem):
    with pytest.raises(InvalidInput, match=problem):
        run(project, write_parquet(arrow, tmp_path / "a.parquet", columns))


@pytest.mark.parametrize("place", [-9, -100])
def test_damaged_parquet_is_refused(project, tmp_path, arrow, place):
    columns = {"image": images_of("1.png"), "label": ["cats"]}
    path = write_parquet(arrow, tmp_path / "a.parquet", columns)
    data = bytearray(path.read_bytes())
    data[place : place + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="cannot be read"):
        run(project, path)


def test_a_row_group_that_would_fill_the_memory_is_refused(project, tmp_path, arrow, monkeypatch):
    monkeypatch.setattr(formats.parquet, "_MAX_GROUP_BYTES", 10)
    columns = {"image": images_of("1.png"), "label": ["cats"]}
    with pytest.raises(InvalidInput, match="row groups is too large"):
        run(project, write_parquet(arrow, tmp_path / "a.parquet", columns))

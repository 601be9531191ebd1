"""YAML to values with marks: everything a suite has no use for is refused in a sentence."""

import pytest

from depthbench.document import MAX_BYTES, parse, read_text
from depthbench.errors import SuiteError


def test_each_value_and_key_knows_its_line_and_column():
    document = parse("a: 1\nb:\n  - {c: 2}\n", "s.yaml")
    assert document.value == {"a": 1, "b": [{"c": 2}]}
    assert document.where(("b", 0, "c")) == "s.yaml:3:9"
    assert document.where(("b", 0, "c"), is_key=True) == "s.yaml:3:6"
    assert document.where(("b", 0, "missing")) == "s.yaml:3:5"


def test_numbers_are_those_of_yaml_1_2():
    value = parse("{a: 1e-3, b: 0x10, c: yes, d: ~, e: 012}", "s").value
    assert value == {"a": 0.001, "b": 16, "c": "yes", "d": None, "e": 12}


def test_merge_keys_bring_in_what_is_not_given():
    value = parse("base: &b {x: 1, y: 2}\nc: {<<: *b, x: 3}\n", "s").value
    assert value["c"] == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: 1\na: 2", "s:2:1", "'a' is given twice, first at s:1:1"),
        ("a: &x [*x]", "s:1:4", "an anchor contains itself"),
        ("a: !!python/object:os.system x", "s:1:4", "has no meaning in a suite"),
        ("a: !foo 1", "s:1:4", "has no meaning in a suite"),
        ("a: 2001-01-01", "s:1:4", "is a date in YAML"),
        ("? [1, 2]\n: 3", "s:1:3", "a key is a word"),
        ("a: " + "9" * 5000, "s:1:4", "is no int"),
        ("a: !!bool maybe", "s:1:4", "is no bool"),
        ("a: !!map [1]", "s:1:4", "has no meaning in a suite"),
    ],
)
def test_lesser_mistakes_are_noted_where_they_stand(text, place, reason):
    (noted,) = parse(text, "s").mistakes.values()
    assert noted.startswith(place + ": ")
    assert reason in noted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ("a: [", "s:1:5: not valid YAML"),
        ("\t- x", "s:1:1: not valid YAML"),
        ("a: 1\n---\nb: 2", "s:2:1: not valid YAML"),
        ("a: *nope", "undefined alias"),
        ("a\x00b: 1", "not valid YAML"),
        ("[" * 3000, "nested too deeply"),
        ("[" * 40 + "]" * 40, "nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_one_sentence(text, reason):
    with pytest.raises(SuiteError, match=reason.replace("[", r"\[")) as caught:
        parse(text, "s")
    assert "\n" not in str(caught.value)


def test_exploding_anchors_are_refused_before_they_fill_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    with pytest.raises(SuiteError, match="do aliases explode"):
        parse("\n".join(lines), "s")


def test_a_huge_file_is_refused_by_its_size_alone(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a" * 10_000_000)
    with pytest.raises(SuiteError, match=f"10,000,000 bytes; a suite has at most {MAX_BYTES:,}"):
        read_text(path)


def test_files_that_cannot_be_read_say_why(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("suite: caf\xe9".encode("latin-1"))
    with pytest.raises(SuiteError, match="byte 10 is not UTF-8"):
        read_text(latin)
    with pytest.raises(SuiteError, match="No such file"):
        read_text(tmp_path / "none.yaml")
    with pytest.raises(SuiteError, match="is a folder"):
        read_text(tmp_path)

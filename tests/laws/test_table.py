"""Tables as people have them: what is read, what is left out and why, what is refused."""

import numpy as np
import pytest

from raydistill.core.errors import DataError, UsageError
from raydistill.laws.table import points_of, read_table


@pytest.fixture
def points(tmp_path):
    """The points of a CSV file with this text."""

    def read(text, fields=("params", "tokens"), output="loss", columns=None, encoding="utf-8"):
        file = tmp_path / "runs.csv"
        file.write_text(text, encoding=encoding)
        return points_of(read_table(file), fields, output, columns or {})

    return read


def test_what_pandas_writes(points):
    read = points(",run,params,tokens,loss\n0,a,1e8,2000000000.0,3.1\n1,b,2e8,2000000000.0,\n")
    assert read.inputs["params"].tolist() == [1e8]
    assert [(one.name, one.reason) for one in read.excluded] == [
        ("b (line 3)", "loss has no value")
    ]


def test_what_a_german_spreadsheet_writes(points):
    read = points("Params;Tokens;Loss\n7B;1,5e11;2,125\n160M;3e9;3,5\n", encoding="utf-8-sig")
    assert read.inputs["params"].tolist() == [7e9, 160e6]
    assert read.inputs["tokens"].tolist() == [1.5e11, 3e9]
    assert read.outputs.tolist() == [2.125, 3.5]


def test_numbers_as_people_write_them(points):
    read = points("params\ttokens\tloss\n7_000_000\t7,000,000\t3\n7e9\t.5T\t2\n1.4 B\t9K\t4\n")
    assert read.inputs["params"].tolist() == [7e6, 7e9, 1.4e9]
    assert read.inputs["tokens"].tolist() == [7e6, 5e11, 9e3]


def test_columns_of_other_names(points):
    names = {"params": "n", "tokens": "d", "loss": "final_loss"}
    read = points("n,d,final_loss\n1,2,3\n", columns=names)
    assert [read.inputs["params"][0], read.inputs["tokens"][0], read.outputs[0]] == [1, 2, 3]
    with pytest.raises(UsageError, match=r"no column params or tokens.*--columns params=COLUMN"):
        points("n,d,loss\n1,2,3\n")
    with pytest.raises(UsageError, match=r"no column 'size'\. There are: n, d, loss"):
        points("n,d,loss\n1,2,3\n", columns={"params": "size", "tokens": "d"})
    with pytest.raises(UsageError, match="Loss and loss may both be loss: say which"):
        points("params,tokens,Loss,loss\n1,2,3,4\n")


def test_every_row_that_is_left_out_has_its_line_and_reason(points):
    read = points(
        "params,tokens,loss,seed\n1,2,3,0\n1,2,3,0\n1,2,3,1\n1,2,nan,0\n0,2,3,0\n1,two,3,0\n\n1,2\n"
    )
    assert (len(read), read.seeds) == (2, (0, 1))
    assert [(one.name, one.reason) for one in read.excluded] == [
        ("line 3", "the same as line 2"),
        ("line 5", "loss is nan"),
        ("line 6", "params 0 is not above 0"),
        ("line 7", "tokens 'two' is no number"),
        ("line 9", "loss has no value"),
    ]


def test_one_run_measured_twice_is_two_rows_if_its_names_differ(points):
    assert len(points("run,params,tokens,loss\na,1,2,3\nb,1,2,3\n")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("params,tokens,loss\n", "a header and no row"),
        ("1,2,3\n4,5,6\n", "the first row must name the columns"),
        ("params,params,loss\n1,2,3\n", "two columns are named params"),
        ("params,tokens,loss\n1,2,nan\n", "no row can be used: line 2: loss is nan"),
    ],
)
def test_a_table_that_cannot_be_read(points, text, message):
    with pytest.raises(DataError, match=message):
        points(text)


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "runs.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8 text: save the table as a CSV file"):
        read_table(tmp_path / "runs.csv")
    with pytest.raises(DataError, match="No such file"):
        read_table(tmp_path / "others.csv")


def test_a_large_table_is_read_at_once(points):
    rows = "\n".join(f"{i + 1},{i + 2},{i + 3}" for i in range(5_000))
    np.testing.assert_array_equal(
        points(f"params,tokens,loss\n{rows}").outputs, np.arange(5_000) + 3
    )


def test_a_row_with_more_cells_than_the_header_is_left_out_and_not_shifted(points):
    read = points("params,tokens,loss\n1,234,5,6\n1,2,3,\n")
    assert read.outputs.tolist() == [3]
    assert read.excluded[0].reason == "it has 4 cells, the header 3"


@pytest.mark.parametrize(
    ("text", "losses"),
    [
        ("params\ttokens\tloss\n7B\t1,5B\t2,125\n7B\t3B\t2,5\n", [2.125, 2.5]),
        ("params;tokens;loss\n1,000;2,500;0.5\n", [0.5]),
    ],
)
def test_what_a_comma_means_is_what_the_cells_say_that_can_be_read_in_one_way(points, text, losses):
    read = points(text)
    assert read.outputs.tolist() == losses
    assert read.inputs["tokens"][0] in (1.5e9, 2500)


def test_a_seed_that_is_no_number_is_none(points):
    assert points("params,tokens,loss,seed\n1,2,3,²\n").seeds is None

"""Tests of the reader of sales tables: each layout, each refusal, real files where present."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from invbench.scenarios.table import read_table

REAL_DATA = Path(__file__).resolve().parents[1] / "../shared/data"

WIDE = "sku,lead_time,d_1,d_2,d_3\n007,2,1,0,3.5\nB,3,4,5,1e2\n"
LONG = (
    "date,store,item,sales,price,holiday,temperature\n"
    "2024-01-01,1,A,3,2.5,new year,-4\n"
    "2024-01-02,1,A,4,2.5,,1.5\n"
    "2024-01-01,1,B,5,9,new year,-4\n"
    "2024-01-02,1,B,6,8,,1.5\n"
)
DATES_DOWN = "date,weekday,is_holiday,fish,lamb\n2024-01-01,MON,1,5,0\n2024-01-02,TUE,0,6,7\n"
FLAGS = "sku,d_1,d_2,d_3\n007,True,False,True\nB,1,1,0\n"


@pytest.fixture
def write(tmp_path):
    """Write text (or bytes) to a file of tmp_path and return its path."""

    def write_file(content, name="history.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def days(*texts):
    return [np.datetime64(text, "D") for text in texts]


# ---- what is read


def test_wide(write):
    table = read_table(write(WIDE))
    assert table.items == ("007", "B")
    assert table.ids == {"sku": ("007", "B"), "lead_time": ("2", "3")}
    assert table.periods == ("d_1", "d_2", "d_3") and table.dates is None
    assert table.sales.dtype == np.float32
    assert table.sales.tolist() == [[1, 4], [0, 5], [3.5, 100]]
    assert table.in_stock is None and table.price is None and table.calendar == {}


def test_wide_dates_and_a_name_from_the_shortest_unique_prefix(write):
    rows = "0,126,x,1,2\n0,182,x,3,4\n1,126,x,5,6\n"
    table = read_table(write("Store,Product,Group,2024-01-01,2024-01-08\n" + rows))
    assert table.items == ("0/126", "0/182", "1/126")
    assert table.dates.tolist() == [day.item() for day in days("2024-01-01", "2024-01-08")]
    assert table.dates.dtype == "datetime64[D]"
    assert table.sales.tolist() == [[1, 3, 5], [2, 4, 6]]


def test_wide_with_named_ids(write):
    path = write("row,store,item,w1\n1,S,A,5\n2,S,B,6\n")
    assert read_table(path).items == ("1", "2")
    assert read_table(path, id="item").items == ("A", "B")
    assert read_table(path, id=["store", "item"]).items == ("S/A", "S/B")


@pytest.mark.parametrize(
    "labels",
    [
        "d_9,d_10",
        "w1,w2",
        "t-3,t-4",
        "JAN96,FEB96",
        "Dec-99,Jan-00",
        "Dec-69,Jan-70",
        "2023-12,2024-01",
        "December 1999,January 2000",
        "2024-01-31,2024-02-29",
        "2023-12-15,2024-01-15",
    ],
)
def test_period_labels(write, labels):
    table = read_table(write(f"item,size_2,{labels}\nA,9,1,2\n"))
    assert table.periods == tuple(labels.split(",")) and table.sales.tolist() == [[1], [2]]
    assert table.ids["size_2"] == ("9",)
    assert (table.dates is not None) == (labels.count("-") == 4)


def test_monthly_dates_step_by_months(write):
    text = "item,2024-01-31,2024-02-29,2024-03-31,2024-05-31\nA,1,2,3,5\n"
    with pytest.raises(ValueError, match="column '2024-05-31'.*2024-04-30 is missing"):
        read_table(write(text))
    firsts = read_table(write("item,2023-02-01,2023-03-01,2023-04-01\nA,1,2,3\n", "firsts.csv"))
    assert firsts.sales[:, 0].tolist() == [1, 2, 3]
    table = read_table(write(text), missing="zero")
    assert table.periods[3] == "2024-04-30" and table.sales[:, 0].tolist() == [1, 2, 3, 0, 5]


def test_long(write):
    table = read_table(write(LONG))
    assert table.items == ("1/A", "1/B")
    assert table.ids == {"store": ("1", "1"), "item": ("A", "B")}
    assert table.periods == ("2024-01-01", "2024-01-02")
    assert (table.dates == days("2024-01-01", "2024-01-02")).all()
    assert table.sales.tolist() == [[3, 5], [4, 6]]
    assert table.price.dtype == np.float32 and table.price.tolist() == [[2.5, 9], [2.5, 8]]
    assert table.calendar["holiday"].tolist() == ["new year", ""]
    assert table.calendar["temperature"].tolist() == [-4.0, 1.5]


def test_long_in_any_order_of_items(write):
    header, *rows = LONG.splitlines()
    by_date = "\n".join([header, rows[2], rows[0], rows[1], rows[3]])
    table = read_table(write(by_date))
    assert table.items == ("1/B", "1/A") and table.sales.tolist() == [[5, 3], [6, 4]]
    assert table.price.tolist() == [[9, 2.5], [8, 2.5]]


def test_long_with_unusual_names_flags_and_numbered_weeks(write):
    text = "week,shop,sold,here,sales_tax\n9,X,1,True,3\n10,X,2,0,3\n9,Y,3,FALSE,3\n10,Y,4,1,4\n"
    table = read_table(write(text), value="sold", id="shop", in_stock="here")
    assert table.periods == ("9", "10") and table.dates is None
    assert table.sales.tolist() == [[1, 3], [2, 4]]
    assert table.in_stock.tolist() == [[True, False], [False, True]]
    assert table.calendar == {}  # sales_tax differs between the items in week 10


def test_long_of_one_series(write):
    table = read_table(write("day,sales,is_open\n2024-01-01,3,1\n2024-01-02,4,0\n"))
    assert table.items == ("sales",) and table.sales.tolist() == [[3], [4]]
    assert table.calendar["is_open"].tolist() == [1, 0]


def test_long_calendar_columns_named_by_the_caller(write):
    assert list(read_table(write(LONG), calendar="holiday").calendar) == ["holiday"]
    assert read_table(write(LONG), calendar=[]).calendar == {}


def test_dates_down(write):
    table = read_table(write(DATES_DOWN))
    assert table.items == ("fish", "lamb") and table.ids == {"item": ("fish", "lamb")}
    assert table.sales.tolist() == [[5, 0], [6, 7]]
    assert table.calendar["weekday"].tolist() == ["MON", "TUE"]
    assert table.calendar["is_holiday"].tolist() == [1, 0]


def test_dates_down_with_named_columns(write):
    path = write("date,a1,a2,a3\n2024-01-01,5,0,9\n2024-01-02,6,7,9\n")
    assert read_table(path).items == ("a1", "a2", "a3")
    table = read_table(path, calendar="a3")
    assert table.items == ("a1", "a2") and table.calendar["a3"].tolist() == [9, 9]
    late = read_table(write("fish,when\n5,2024-01-01\n6,2024-01-02\n", "late.csv"), date="when")
    assert late.items == ("fish",) and late.periods == ("2024-01-01", "2024-01-02")
    table = read_table(path, items=["a2"])
    assert table.sales.tolist() == [[0], [7]] and table.calendar == {}


def test_layout_can_be_forced(write):
    path = write("item,day,w1,w2\nA,3,1,2\n")  # a wide table with an attribute named day
    with pytest.raises(ValueError, match="row 1, column 'item': no value column"):
        read_table(path)
    assert read_table(path, layout="wide").sales.tolist() == [[1], [2]]


@pytest.mark.parametrize("name", ["history.csv.gz", "history.csv"])
def test_gzip_is_known_by_content(write, name):
    assert read_table(write(gzip.compress(WIDE.encode()), name)).sales[2].tolist() == [3.5, 100]
    assert read_table(write(WIDE, name)).sales[2].tolist() == [3.5, 100]


def test_byte_order_mark_spaces_line_ends_and_quotes(write):
    text = '\ufeffsku, note,w1\r\n A ,"a, ""b""", 5\r\n"B\nb",,+6\r\n\r\n'
    table = read_table(write(text))
    assert table.ids == {"sku": ("A", "B\nb"), "note": ('a, "b"', "")}
    assert table.items == ("A", "B\nb") and table.sales.tolist() == [[5, 6]]


def test_in_stock_file(write):
    path, flags = write(WIDE), write(FLAGS, "flags.csv")
    table = read_table(path, in_stock_path=flags)
    assert table.in_stock.tolist() == [[True, True], [False, True], [True, False]]


def test_in_stock_file_may_go_on_after_the_sales(write):
    later = write("sku,d_1,d_2,d_3,d_4\n007,1,0,1,0\nB,1,1,0,0\n", "flags.csv")
    table = read_table(write(WIDE), in_stock_path=later)
    assert table.in_stock.tolist() == [[True, True], [False, True], [True, False]]


def test_calendar_file_matched_by_label_fills_the_dates(write):
    rows = "2024-01-03,d_3,,2\n2024-01-01,d_1,fair,0\n2024-01-02,d_2,,1\n2024-01-04,d_4,,\n"
    calendar = write("date,d,event,snap\n" + rows, "calendar.csv")
    table = read_table(write(WIDE), calendar_path=calendar)
    assert (table.dates == days("2024-01-01", "2024-01-02", "2024-01-03")).all()
    assert table.periods == ("d_1", "d_2", "d_3")
    assert list(table.calendar) == ["event", "snap"]
    assert table.calendar["event"].tolist() == ["fair", "", ""]
    assert table.calendar["snap"].tolist() == [0, 1, 2]


def test_calendar_file_matched_by_date(write):
    calendar = write("Date,d,rain\n2024-01-01,d_1,.5\n2024-01-02,d_2,0\n", "calendar.csv")
    table = read_table(write(LONG), calendar_path=calendar)
    assert list(table.calendar) == ["holiday", "temperature", "d", "rain"]
    assert table.calendar["rain"].tolist() == [0.5, 0]
    assert table.calendar["d"].tolist() == ["d_1", "d_2"]
    calendar = write("rain,day\n3,2024-01-02\n4,2024-01-01\n", "calendar.csv")
    assert read_table(write(LONG), calendar_path=calendar).calendar["rain"].tolist() == [4, 3]


# ---- missing="zero"


@pytest.mark.parametrize("cell", ["", "NaN", "NA", "null"])
def test_missing_cells(write, cell):
    path = write(f"item,w1,w2\nA,1,2\nB,3,{cell}\n")
    with pytest.raises(ValueError, match="history.csv, row 3, column 'w2'.*missing='zero'"):
        read_table(path)
    assert read_table(path, missing="zero").sales.tolist() == [[1, 3], [2, 0]]


def test_missing_periods_of_a_wide_table(write):
    path = write("sku,2024-01-01,2024-01-02,2024-01-04\nA,1,2,4\n")
    flags = write("sku,2024-01-01,2024-01-02,2024-01-04\nA,0,0,0\n", "flags.csv")
    table = read_table(path, missing="zero", in_stock_path=flags)
    assert table.periods == ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
    assert table.sales[:, 0].tolist() == [1, 2, 0, 4]
    assert table.in_stock[:, 0].tolist() == [False, False, True, False]


def test_missing_rows_of_a_long_table(write):
    text = (
        "date,item,sales,price,in_stock,note,hot\n2024-01-01,A,1,5,0,x,1\n"
        "2024-01-02,A,2,,0,,1\n2024-01-02,B,3,6,0,,1\n2024-01-04,B,4,6,0,y,0\n"
    )
    table = read_table(write(text), missing="zero")
    assert table.periods == ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
    assert table.sales.tolist() == [[1, 0], [2, 3], [0, 0], [0, 4]]
    expected = [[5, np.nan], [np.nan, 6], [np.nan, np.nan], [np.nan, 6]]
    assert np.array_equal(table.price, expected, equal_nan=True)
    assert table.in_stock.tolist() == [[0, 1], [0, 0], [1, 1], [1, 0]]
    assert table.calendar["note"].tolist() == ["x", "", "", "y"]
    assert np.array_equal(table.calendar["hot"], [1, 1, np.nan, 0], equal_nan=True)


def test_missing_rows_of_dates_down(write):
    text = DATES_DOWN + "2024-01-04,THU,0,,8\n"
    with pytest.raises(ValueError, match="row 4, column 'date'.*2024-01-03 is missing"):
        read_table(write(text))
    table = read_table(write(text), missing="zero")
    assert table.sales.tolist() == [[5, 0], [6, 7], [0, 0], [0, 8]]
    assert table.calendar["weekday"].tolist() == ["MON", "TUE", "", "THU"]


# ---- refusals: the sentence names file, row and column

LONG_ROWS = LONG.splitlines(keepends=True)

REFUSED = {
    "empty": ("", "row 1, column 1: the file is empty"),
    "header only": ("sku,w1\n", "row 2, column 'sku': no rows"),
    "no periods": ("sku,price\nA,3\n", "row 1, column 'price': no period columns"),
    "other date order": ("sku,31/12/2024\nA,3\n", "row 1, column '31/12/2024': no period columns"),
    "impossible date": ("sku,2024-02-30\nA,3\n", "row 1, column '2024-02-30': no period columns"),
    "no id": ("w1,w2\n1,2\n", "row 1, column 'w1': no id column"),
    "no value": ("date,item,sold\n2024-01-01,A,3\n", "row 1, column 'date': no value column"),
    "no items": ("date,rain\n2024-01-01,3\n", "row 1, column 'date': no column of an item"),
    "two values": ("date,sales,units\n2024-01-01,3,4\n", "row 1, column 'units': this column or 'sales'? Name one with value="),
    "broken run": ("sku,w1,total,w2\nA,1,2,3\n", "row 1, column 'total': not a period"),
    "blank header": (",sku,w1\n0,A,1\n", "row 1, column 1: the header is blank"),
    "duplicate header": ("sku,w1,w1\nA,1,2\n", "row 1, column 'w1': the header occurs twice"),
    "duplicate id": ("sku,w1\nA,1\nB,2\nA,3\n", "row 4, column 'sku': id 'A' occurs twice (first in row 2)"),
    "blank id": ("sku,w1\nA,1\n ,2\n", "row 3, column 'sku': the id is blank"),
    "blank id in long": (LONG.replace("1,A,4", "1,,4"), "row 3, column 'item': the id is blank"),
    "leading zeros": (
        "sku,w1\n007,1\n7,2\n",
        "row 3, column 'sku': ids '007' and '7' differ only by leading zeros: leading zeros of ids lost?",
    ),
    "leading zeros in one of two ids": ("store,sku,w1\n01,A,1\n01,B,1\n1,C,2\n", "row 4, column 'store': ids '01' and '1'"),
    "leading zeros in long": ("date,item,y\n2024-01-01,07,1\n2024-01-01,7,1\n", "row 3, column 'item': ids '07' and '7'"),
    "text": ("sku,w1,w2\nA,1,2\nB,3,few\n", "row 3, column 'w2': 'few' is not a plain number"),
    "thousands": ('sku,w1\nA,"1,200"\n', "row 2, column 'w1': '1,200' is not a plain number (write 1200)"),
    "underscore": ("sku,w1\nA,1_000\n", "row 2, column 'w1': '1_000' is not a plain number"),
    "other digits": ("sku,w1\nA,٣\n", "row 2, column 'w1': '٣' is not a plain number"),
    "negative": ("sku,w1\nA,1\nB,-3\n", "row 3, column 'w1': '-3' is negative"),
    "infinite": ("sku,w1\nA,inf\n", "row 2, column 'w1': 'inf' is not finite"),
    "too large": ("sku,w1\nA,1e39\n", "row 2, column 'w1': '1e39' is too large"),
    "nan": ("sku,w1\nA,nan\n", "row 2, column 'w1': 'nan' is not a number"),
    "price": (LONG.replace("A,4,2.5", "A,4,-1"), "row 3, column 'price': '-1' is negative"),
    "empty price": (LONG.replace("A,4,2.5", "A,4,"), "row 3, column 'price': the cell is empty"),
    "empty covariate": (LONG.replace("-4", ""), "row 2, column 'temperature': the cell is empty"),
    "flag": ("date,y,in_stock\n2024-01-01,1,yes\n", "row 2, column 'in_stock': 'yes' is not True, False, 1 or 0"),
    "short row": ("sku,w1,w2\nA,1,2\nB,3\n", "row 3, column 'w2': 2 cells where the header has 3"),
    "long row": ("sku,w1\nA,1\nB,3,4\n", "row 3, column 3: 3 cells where the header has 2"),
    "blank line": ("sku,w1\nA,1\n\nB,3\n", "row 3, column 'sku': 0 cells"),
    "line of a row after a quoted line end": ('sku,w1\n"A\na",1\nB,x\n', "row 4, column 'w1': 'x'"),
    "open quote": ('sku,w1\nA,1\n"B,3\n', "row 3: not a CSV record"),
    "duplicate date in long": (
        "".join(LONG_ROWS[:3] + LONG_ROWS[2:]),
        "row 4, column 'date': '2024-01-02' occurs twice for item '1/A'",
    ),
    "duplicate date far above": (
        "date,y\n2024-01-01,1\n2024-01-02,1\n2024-01-01,1\n",
        "row 4, column 'date': '2024-01-01' occurs twice for item 'y'; several items?",
    ),
    "duplicate date in dates down": (DATES_DOWN + "2024-01-02,TUE,0,1,1\n", "row 4, column 'date': '2024-01-02' occurs twice"),
    "duplicate period in wide": ("sku,w1,w01\nA,1,2\n", "row 1, column 'w01': 'w01' occurs twice"),
    "unsorted wide": (
        "sku,2024-01-02,2024-01-01\nA,1,2\n",
        "row 1, column '2024-01-01': '2024-01-01' comes after a later period",
    ),
    "unsorted long": (
        "".join(LONG_ROWS[:1] + LONG_ROWS[2:0:-1] + LONG_ROWS[3:]),
        "row 3, column 'date': '2024-01-01' comes after a later period: sort them for item '1/A'",
    ),
    "unsorted dates down": (
        "date,fish\n2024-01-02,1\n2024-01-01,1\n",
        "row 3, column 'date': '2024-01-01' comes after a later period",
    ),
    "gap in labels": ("sku,d_1,d_2,d_4\nA,1,2,3\n", "row 1, column 'd_4': 'd_4' follows 'd_2', more than the smallest step"),
    "gap in months": ("sku,JAN96,MAR96\nA,1,2\n", "row 1, column 'MAR96': 'MAR96' follows 'JAN96'"),
    "gap in wide dates": (
        "sku,2024-01-01,2024-01-08,2024-01-22\nA,1,2,3\n",
        "row 1, column '2024-01-22': '2024-01-22' follows '2024-01-08', more "
        "than the smallest step between periods: 2024-01-15 is missing",
    ),
    "gap in all long series": (
        "date,y\n2024-01-01,1\n2024-01-02,1\n2024-01-04,1\n",
        "row 4, column 'date': '2024-01-04' follows '2024-01-02', more than "
        "the smallest step between periods: 2024-01-03 is missing",
    ),
    "gap in one long series": (
        "date,item,y\n2024-01-01,A,1\n2024-01-02,A,1\n2024-01-03,A,1\n2024-01-01,B,1\n2024-01-03,B,1\n",
        "row 5, column 'date': item 'B' has no row for 2024-01-02 (missing",
    ),
    "truncated long": (
        "".join(LONG_ROWS[:-1]),
        "row 4, column 'date': item '1/B' has no row for 2024-01-02 nor later: the file looks truncated",
    ),
    "long date": (
        LONG.replace("2024-01-02,1,B", "2/1/2024,1,B"),
        "row 5, column 'date': '2/1/2024' is not a period such as '2024-01-01'",
    ),
    "long dates": (LONG.replace("2024-01-0", "1.1.200"), "row 2, column 'date': '1.1.2001' is not a period such as '2024-12-31'"),
    "NUL": ("sku,w1\nA,1\nB,\0\n", "row 3, column 2: a NUL byte"),
    "not UTF-8": (b"sku,w1\nCaf\xe9,1\n", "row 2, column 1: a byte that is not UTF-8 text"),
}


@pytest.mark.parametrize("content, sentence", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("name", ["history.csv", "history.csv.gz"])
def test_refused(write, content, sentence, name):
    data = content if isinstance(content, bytes) else content.encode()
    path = write(gzip.compress(data) if name.endswith("gz") else data, name)
    with pytest.raises(ValueError) as error:
        read_table(path)
    assert f"{name}, {sentence}" in str(error.value)


@pytest.mark.parametrize(
    "case",
    [
        "gap in labels",
        "gap in months",
        "text",
        "thousands",
        "negative",
        "infinite",
        "duplicate id",
        "leading zeros",
        "unsorted long",
        "duplicate date in long",
        "short row",
        "flag",
    ],
)
def test_refused_with_missing_zero_too(write, case):
    content, sentence = REFUSED[case]
    with pytest.raises(ValueError) as error:
        read_table(write(content), missing="zero")
    assert f"history.csv, {sentence}" in str(error.value)


def test_irregular_dates_are_refused_with_missing_zero_too(write):
    path = write("sku,2024-01-01,2024-01-08,2024-01-15,2024-01-21\nA,1,2,3,4\n")
    with pytest.raises(ValueError, match="row 1, column '2024-01-08'.*smallest step"):
        read_table(path, missing="zero")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_gzip(write, share):
    data = gzip.compress(WIDE.encode())
    with pytest.raises(ValueError, match="history.csv.gz is truncated"):
        read_table(write(data[: int(len(data) * share)], "history.csv.gz"))


def test_file_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.csv does not exist$"):
        read_table(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (FLAGS.replace("d_", "w_"), "row 1, column 'w_1': period 'w_1' where the sales have 'd_1'"),
        ("sku,d_1,d_2\n007,1,1\nB,1,1\n", "row 1, column 'd_3': period None where the sales have"),
        (FLAGS.replace("B", "C"), "row 3, column 'sku': id 'C' where the sales have 'B'"),
        (FLAGS.replace("B,1,1,0\n", ""), "row 2, column 'sku': id None where the sales have 'B'"),
        (FLAGS + "C,1,1,1\n", "row 4, column 'sku': id 'C' where the sales have None"),
        (
            FLAGS.replace("007", "7"),
            "row 2, column 'sku': id '7' where the sales have '007': leading zeros were lost in one of the files",
        ),
        (FLAGS.replace("sku", "item"), "row 1, column 'sku': the sales have this id column"),
        (FLAGS.replace("False", "maybe"), "row 2, column 'd_2': 'maybe' is not True, False, 1 or 0"),
        (FLAGS.replace("False", ""), "row 2, column 'd_2': '' is not True, False, 1 or 0"),
    ],
)
def test_in_stock_file_refused(write, flags, sentence):
    with pytest.raises(ValueError) as error:
        read_table(write(WIDE), in_stock_path=write(flags, "flags.csv"))
    assert str(error.value).startswith(f"flags.csv, {sentence}")


@pytest.mark.parametrize(
    "calendar, sentence",
    [
        ("d,snap\nd_1,0\nd_3,0\n", "row 3, column 'd': period 'd_2' of the sales has no row"),
        ("d,snap\nd_1,0\nd_2,0\nd_3,0\nd_2,0\n", "row 5, column 'd': 'd_2' occurs twice"),
        ("d,snap\nd_1,0\nd_2,\nd_3,0\n", "row 3, column 'snap': the cell is empty"),
        (
            "date,d\n2024-01-01,d_1\n2024-01-03,d_2\n2024-01-02,d_3\n",
            "row 4, column 'date': '2024-01-02' comes after a later period",
        ),
        ("date,d\n2024-01-01,d_1\nsoon,d_2\n2024-01-02,d_3\n", "row 3, column 'date': 'soon' is not"),
    ],
)
def test_calendar_file_refused(write, calendar, sentence):
    with pytest.raises(ValueError) as error:
        read_table(write(WIDE), calendar_path=write(calendar, "calendar.csv"))
    assert str(error.value).startswith(f"calendar.csv, {sentence}")


def test_calendar_file_with_a_covariate_of_the_sales_file(write):
    calendar = write("date,holiday\n2024-01-01,x\n2024-01-02,x\n", "calendar.csv")
    with pytest.raises(ValueError, match="calendar.csv, row 1, column 'holiday': the sales file"):
        read_table(write(LONG), calendar_path=calendar)


@pytest.mark.parametrize(
    "content, options, sentence",
    [
        (LONG, {"calendar": "price"}, "history.csv, row 4, column 'price': '9' where another item has '2.5' on that date"),
        (LONG, {"calendar": ["snow"]}, "history.csv, row 1, column 'snow': calendar= names this"),
        (LONG, {"value": "units"}, "history.csv, row 1, column 'units': value= names this column"),
        (WIDE, {"price": "sku"}, "history.csv has layout 'wide', which does not use price="),
        (WIDE, {"layout": "tall"}, "layout must be"),
        (WIDE, {"missing": "mean"}, "missing must be"),
        (WIDE, {"id": ["sku", "sku"]}, "history.csv, row 1, column 'sku': id= names this column twice"),
        (DATES_DOWN, {"items": "beef"}, "history.csv, row 1, column 'beef': items= names this column"),
    ],
)
def test_options_refused(write, content, options, sentence):
    with pytest.raises(ValueError) as error:
        read_table(write(content), **options)
    assert str(error.value).startswith(sentence)


# ---- real files


def real(name):
    path = REAL_DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data")
    return path


def test_m5_wide_with_calendar():
    path = real("m5/sales_FOODS_1_CA_1_CA_2_d1_d1941.csv.gz")
    table = read_table(path, calendar_path=real("m5/calendar.csv"))
    assert table.sales.shape == (1941, 432) and table.sales.sum(dtype=float) == 1_309_849
    assert table.items[0] == "FOODS_1_001_CA_1_evaluation" and table.sales[0, 0] == 3
    assert (table.dates[[0, -1]] == days("2011-01-29", "2016-05-22")).all()
    assert table.calendar["wday"][:3].tolist() == [1, 2, 3]
    assert table.calendar["event_name_1"][8] == "SuperBowl"


def test_m5_long_with_prices_of_items_not_yet_sold():
    path = real("m5/tiny_m5_28items_10stores_with_prices.csv.gz")
    table = read_table(path, missing="zero")
    assert table.sales.shape == (1913, 280) and table.sales.sum(dtype=float) == 2_934_611
    assert np.isnan(table.price).sum() == 81_193
    assert table.items[0] == "HOBBIES_1_330/CA_1" and table.price[0, 0] == np.float32(7.44)


def test_m5_grand_total():
    table = read_table(real("m5/total_daily_sales_d1_d1913.csv"))
    assert table.items == ("sales",) and table.sales.sum(dtype=float) == 65_695_409


def test_restaurant():
    table = read_table(real("yaz_restaurant/yaz_daily.csv.gz"))
    assert table.items == ("calamari", "fish", "shrimp", "chicken", "koefte", "lamb", "steak")
    assert table.sales.shape == (765, 7) and table.sales[0].tolist() == [6, 6, 12, 40, 23, 50, 36]
    assert len(table.calendar) == 11 and table.calendar["temperature"][0] == 15.9


def test_bakery():
    table = read_table(real("bakery/bakery_daily.csv.gz"))
    assert table.sales.shape == (1215, 105) and table.sales[:2, 0].tolist() == [254, 538]
    assert set(table.calendar) == {"weekday", "month", "year", "is_holiday", "is_holiday_next2days"}


def test_online_retail():
    table = read_table(real("online_retail/daily_units_by_stockcode.csv.gz"))
    assert table.sales.shape == (374, 3900) and table.sales[0, 0] == 60
    assert (table.sales == 0).mean() == pytest.approx(0.81, abs=0.01)


def test_vn2_with_in_stock_file():
    path, flags = real("vn2/week0_sales.csv.gz"), real("vn2/week0_in_stock.csv.gz")
    table = read_table(path, in_stock_path=flags)
    assert table.sales.shape == (157, 599) and table.items[:2] == ("0/126", "0/182")
    assert table.in_stock.mean() == pytest.approx(0.888, abs=0.001)
    assert table.sales[~table.in_stock].sum() == 0


@pytest.mark.parametrize(
    "name, shape, first", [("man_manufacturing_weekly", (150, 3451), "w1"), ("raf_aerospace_monthly", (84, 5000), "JAN96")]
)
def test_spare_parts(name, shape, first):
    table = read_table(real(f"spare_parts/{name}.csv.gz"))
    assert table.sales.shape == shape and table.periods[0] == first and table.dates is None
    assert any(column.startswith("lead_time") for column in table.ids)


def test_spare_parts_with_empty_cells():
    path = real("spare_parts/carparts_monthly.csv.gz")
    with pytest.raises(ValueError, match="carparts_monthly.csv.gz, row 2, column 'Mar-99'"):
        read_table(path)
    table = read_table(path, missing="zero")
    assert table.sales.shape == (51, 2674) and table.sales[6, 0] == 2

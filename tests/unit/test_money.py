from decimal import MAX_PREC, Context, Decimal, localcontext

import pytest
from bson import Decimal128, Int64
from hypothesis import assume, example, given
from hypothesis import strategies as st

from daybook.export.figures import Reason
from daybook.export.sheet.currency import CurrencyReader, decimals_of
from daybook.export.sheet.money import AmountReader, fixed_point, to_decimal
from daybook.export.sheet.unfit import Unfit

PLAIN = r"-?(0|[1-9][0-9]*)\.[0-9]{2}"
# A Decimal128 has up to 34 digits and an exponent from -6176 to 6111.
decimal128s = st.builds(
    lambda sign, coefficient, exponent: Decimal(
        (sign, tuple(map(int, str(coefficient))), exponent)
    ),
    st.integers(0, 1),
    st.integers(0, 10**34 - 1),
    st.one_of(st.integers(-6, 6), st.integers(-6176, 6111)),
)


def _value(text: str) -> Decimal:
    return Decimal(text)


def _unfit(value: object, decimals: int = 2) -> Unfit:
    with pytest.raises(Unfit) as caught:
        AmountReader(decimals).read(value)
    return caught.value


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 2, 3, 4]))
def test_any_integer_prints_exactly(number, decimals):
    for value in (number, Int64(number)):
        amount = AmountReader(decimals).read(value)
        assert _value(amount.text) == number
        assert amount.minor == number * 10**decimals
        assert -Decimal(amount.text).as_tuple().exponent == decimals


@given(decimal128s, st.sampled_from([0, 2, 3]))
@example(Decimal("1E+6111"), 2)
@example(Decimal("-0E-6176"), 2)
def test_any_decimal128_prints_exactly_or_is_refused(value, decimals):
    with localcontext(Context(prec=MAX_PREC)):
        whole = value * 10**decimals == (value * 10**decimals).to_integral_value()
    text = str(Decimal128(value))
    if not whole:
        assert _unfit(text, decimals).reason is Reason.TOO_MANY_DECIMALS
        return
    amount = AmountReader(decimals).read(text)
    assert _value(amount.text) == value
    assert "E" not in amount.text
    assert not amount.normalised


@given(st.integers(-(10**15), 10**15))
def test_any_double_with_two_decimals_prints_as_it_was_written(minor):
    written = fixed_point(minor, 2)
    amount = AmountReader(2).read(float(written))
    assert amount.text == written
    assert not amount.normalised


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_double_prints_within_a_hair_or_is_refused(value):
    with localcontext(Context(prec=MAX_PREC)):
        written = Decimal(repr(value))
        nearest = round(written, 2)
        off = abs(nearest - written)
    if off > Decimal("0.00001"):
        assert _unfit(value).reason is Reason.TOO_MANY_DECIMALS
        return
    amount = AmountReader(2).read(value)
    assert Decimal(amount.text) == nearest
    assert amount.normalised is (off != 0)


@pytest.mark.parametrize(
    ("value", "text", "normalised"),
    [
        (0.1 + 0.2, "0.30", True),
        (1.1 * 3, "3.30", True),
        (4.35 * 100, "435.00", True),
        (-0.1 - 0.2, "-0.30", True),
        (-1e-20, "0.00", True),
        (-0.0, "0.00", False),
        (0.29, "0.29", False),
        (1e15, "1000000000000000.00", False),
        (1e22, "10000000000000000000000.00", False),
    ],
)
def test_sums_of_javascript_are_the_unit_they_mean(value, text, normalised):
    amount = AmountReader(2).read(value)
    assert (amount.text, amount.normalised) == (text, normalised)


def test_a_hair_is_a_thousandth_of_a_minor_unit_and_no_more():
    assert AmountReader(2).read(100.00001).text == "100.00"
    assert _unfit(100.000011).reason is Reason.TOO_MANY_DECIMALS
    assert _unfit(100.005).reason is Reason.TOO_MANY_DECIMALS


@pytest.mark.parametrize("text", ["0.30000000000000004", "100.005", "0.001", "1E-7", "-0.005"])
def test_a_decimal128_is_never_rounded(text):
    unfit = _unfit(text)
    assert unfit.reason is Reason.TOO_MANY_DECIMALS
    assert text in unfit.why


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("100.5000", "100.50"),
        ("-0.00", "0.00"),
        ("-0", "0.00"),
        ("0E+3", "0.00"),
        ("1.2E+3", "1200.00"),
        ("0E-6176", "0.00"),
        ("-0.01", "-0.01"),
        ("7", "7.00"),
        ("9999999999999999999999999999999.999E+3", "9999999999999999999999999999999999.00"),
    ],
)
def test_a_decimal128_prints_in_plain_fixed_point(text, printed):
    assert AmountReader(2).read(text).text == printed


def test_the_largest_decimal128_prints_all_its_digits():
    amount = AmountReader(2).read("9.999999999999999999999999999999999E+6144")
    assert amount.text == "9" * 34 + "0" * 6111 + ".00"
    assert f"{to_decimal(amount.minor, 2):f}" == amount.text
    assert f"{to_decimal(amount.minor + 1, 2):f}" == amount.text[:-1] + "1"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    assert _unfit(value).reason is Reason.NOT_FINITE


@pytest.mark.parametrize("value", [{"v": "100.00"}, {"v": True}, {"v": {}}, {"v": []}, True])
def test_what_is_no_number_is_refused(value):
    assert _unfit(value).reason is Reason.INVALID_AMOUNT


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers(-(2**63), 2**63 - 1),
            st.integers(-(10**9), 10**9).map(lambda minor: minor / 100),
            st.integers(-(10**9), 10**9).map(lambda minor: fixed_point(minor, 2)),
            st.sampled_from(["-0.00", "1E+3", "1.2E+3", "5", "0.1", "1.50", "1.500", 1, 1.0]),
        ),
        min_size=1,
    ),
    st.sampled_from([0, 2, 3]),
)
def test_a_column_reads_as_its_values_do(values, decimals):
    reader = AmountReader(decimals)
    try:
        singly = [AmountReader(decimals).read(value) for value in values]
    except Unfit:
        with pytest.raises(Unfit):
            reader.column(values)
        return
    for column in (reader.column(values), reader.column(values)):
        assert column.minor == [amount.minor for amount in singly]
        assert column.text == [amount.text for amount in singly]
        assert column.normalised_count == sum(amount.normalised for amount in singly)


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1))
def test_a_column_of_plain_texts_reads_as_its_values_do(minor):
    texts = [fixed_point(number, 2) for number in minor]
    column = AmountReader(2).column(texts)
    assert column.minor == minor
    assert column.text == texts


@given(
    st.lists(
        st.one_of(
            st.integers(-(10**17), 10**17).map(lambda minor: minor / 100),
            st.integers(-(10**16), 10**16),
            st.sampled_from([-0.0, 0.1 + 0.2, 9999999999999.98, 1e13, 1e300, float("inf"), 0.005]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0, 2, 3]),
)
def test_a_column_of_numbers_reads_as_its_values_do(values, decimals):
    try:
        singly = [AmountReader(decimals).read(value) for value in values]
    except Unfit:
        with pytest.raises(Unfit):
            AmountReader(decimals).column(values)
        return
    column = AmountReader(decimals).column(values)
    assert column.text == [amount.text for amount in singly]
    assert column.minor == [amount.minor for amount in singly]
    assert column.normalised_count == sum(amount.normalised for amount in singly)


def test_negative_zero_is_zero_in_a_column_too():
    assert AmountReader(2).column(["-0.00", "-0.01", "0.00"]).text == ["0.00", "-0.01", "0.00"]
    assert AmountReader(3).column(["-0.000"]).text == ["0.000"]


@given(st.integers(), st.integers(0, 5))
def test_fixed_point_is_the_number_shifted(minor, decimals):
    assume(abs(minor) < 10**1000)
    assert Decimal(fixed_point(minor, decimals)) == to_decimal(minor, decimals)


def test_decimals_come_from_the_profile_then_from_iso_4217():
    assert [decimals_of(code, {}) for code in ("THB", "JPY", "KWD", "CLF", "jpy", "XYZ")] == [
        *(2, 0, 3, 4),
        *(0, 2),
    ]
    assert decimals_of("JPY", {"JPY": 2}) == 2


@pytest.mark.parametrize("value", ["a.b", "$x", "T\0B", "=1+1", "x" * 17, "T\nB", "\udc80"])
def test_what_cannot_name_a_total_is_no_currency(value):
    with pytest.raises(Unfit) as caught:
        CurrencyReader("THB").read(value)
    assert caught.value.reason is Reason.INVALID_TEXT


def test_a_missing_currency_counts_under_the_profiles():
    reader = CurrencyReader("THB")
    assert [reader.read(value) for value in (None, "", "USD", "บาท")] == [
        "THB",
        "THB",
        "USD",
        "บาท",
    ]

import re
from collections import Counter
from decimal import MAX_PREC, Context, Decimal, localcontext

import pytest
from bson import Decimal128, Int64
from hypothesis import assume, example, given
from hypothesis import strategies as st

from daybook.errors import ConfigurationError
from daybook.export.model.figures import RejectionReason
from daybook.export.rendering.cells.money import (
    _DECIMALS,
    _WITHOUT_DECIMALS,
    AmountReader,
    CurrencyReader,
    decimals_of,
    fixed_point,
    to_decimal,
)
from daybook.export.rendering.cells.values import RejectedValue

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


def _unfit(value: object, decimals: int = 2) -> RejectedValue:
    with pytest.raises(RejectedValue) as caught:
        AmountReader(decimals).read(value)
    return caught.value


@given(st.integers(1 - 10**18, 10**18 - 1), st.sampled_from([0, 2, 3, 4]))
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
    if value.adjusted() >= 18 and value:
        assert _unfit(text, decimals).reason is RejectionReason.TOO_LARGE
        return
    if not whole:
        assert _unfit(text, decimals).reason is RejectionReason.TOO_MANY_DECIMALS
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
    if abs(value) >= 1e18:
        assert _unfit(value).reason is RejectionReason.TOO_LARGE
        return
    if off > Decimal("0.00001"):
        assert _unfit(value).reason is RejectionReason.TOO_MANY_DECIMALS
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
        (9e17, "900000000000000000.00", False),
    ],
)
def test_sums_of_javascript_are_the_unit_they_mean(value, text, normalised):
    amount = AmountReader(2).read(value)
    assert (amount.text, amount.normalised) == (text, normalised)


def test_a_hair_is_a_thousandth_of_a_minor_unit_and_no_more():
    assert AmountReader(2).read(100.00001).text == "100.00"
    assert _unfit(100.000011).reason is RejectionReason.TOO_MANY_DECIMALS
    assert _unfit(100.005).reason is RejectionReason.TOO_MANY_DECIMALS


@pytest.mark.parametrize("text", ["0.30000000000000004", "100.005", "0.001", "1E-7", "-0.005"])
def test_a_decimal128_is_never_rounded(text):
    unfit = _unfit(text)
    assert unfit.reason is RejectionReason.TOO_MANY_DECIMALS
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
        ("999999999999999.999E+3", "999999999999999999.00"),
        ("0E+6111", "0.00"),
    ],
)
def test_a_decimal128_prints_in_plain_fixed_point(text, printed):
    assert AmountReader(2).read(text).text == printed


LARGEST = 10**18 - 1


@pytest.mark.parametrize("decimals", [0, 2, 3])
@pytest.mark.parametrize("value", [LARGEST, -LARGEST, str(LARGEST), f"-{LARGEST}", f"{LARGEST}.0"])
def test_eighteen_digits_before_the_point_print_in_full(value, decimals):
    reader = AmountReader(decimals)
    text = f"{'-' if str(value)[0] == '-' else ''}{'9' * 18}" + ("." + "0" * decimals) * (
        decimals > 0
    )
    assert reader.read(value).text == text
    assert reader.column([value, value]).text == [text, text]
    assert f"{to_decimal(reader.read(value).minor, decimals):f}" == text


@pytest.mark.parametrize("decimals", [0, 2, 3])
@pytest.mark.parametrize(
    "value",
    [
        *("1E+6000", "-9.999999999999999999999999999999999E+6144", "1000000000000000000"),
        *("-1000000000000000000.00", "1234567890123456789.123", 10**18, -(10**18), 2**63 - 1),
        *(1e18, -1e300),
    ],
)
def test_more_than_eighteen_digits_are_refused_without_being_written_out(value, decimals):
    reader = AmountReader(decimals)
    for read in (lambda: reader.read(value), lambda: reader.column([value, value])):
        with pytest.raises(RejectedValue) as caught:
            read()
        assert caught.value.reason is RejectionReason.TOO_LARGE
        assert len(caught.value.why) < 120
        assert caught.value.value == str(value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    assert _unfit(value).reason is RejectionReason.NOT_FINITE


@pytest.mark.parametrize("value", [{"v": True}, {"v": {}}, {"v": []}, True])
def test_what_is_no_number_is_refused(value):
    assert _unfit(value).reason is RejectionReason.INVALID_AMOUNT


@pytest.mark.parametrize("text", ["100.00", "1,234.50", "", "abc"])
def test_a_number_that_is_stored_as_text_is_refused_as_such(text):
    unfit = _unfit({"v": text})
    assert unfit.reason is RejectionReason.STORED_AS_TEXT
    assert unfit.why == f"'{text}' is stored as text, not as a number"


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
    except RejectedValue:
        with pytest.raises(RejectedValue):
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
    except RejectedValue:
        with pytest.raises(RejectedValue):
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


@pytest.mark.parametrize(
    ("value", "code"),
    [
        *(
            ("THB", "THB"),
            ("THB ", "THB"),
            ("\u00a0thb\t\n", "THB"),
            ("ｔｈｂ", "THB"),
            ("ＪＰＹ", "JPY"),
        ),
        *((None, "THB"), ("", "THB"), (" \u3000\t", "THB")),
        *(("btc", "BTC"), ("XAU", "XAU"), ("uyw", "UYW")),
    ],
)
def test_a_currency_is_normalised(value, code):
    reader = CurrencyReader("THB", {"BTC": 8, "XAU": 3})
    assert reader.read(value).code == code
    assert [currency.code for currency in reader.column([value, "THB", value])] == [
        *(code, "THB", code)
    ]


def test_a_missing_currency_counts_under_the_profiles_and_prints_blank():
    reader = CurrencyReader("USD", {})
    assert reader.read(None) == reader.read(" ") == ("USD", "")
    assert reader.read("usd") == ("USD", "USD")


@pytest.mark.parametrize(
    "value",
    [
        *("a.b", "$x", "T\0B", "=1+1", "x" * 17, "T\nB", "\udc80", "บาท", "764", "฿", "TH", "THBX"),
        *("\u200b", "\xad\x05", "THB\u200b", "ınr", "XXX", "XAU", "HRK", "T HB", 764, 764.0, True),
    ],
)
def test_what_is_no_iso_4217_code_is_no_currency(value):
    for read in (
        lambda reader: reader.read(value),
        lambda reader: reader.column([value, "THB"]),
    ):
        with pytest.raises(RejectedValue) as caught:
            read(CurrencyReader("THB", {}))
        assert caught.value.reason is RejectionReason.UNKNOWN_CURRENCY
        assert caught.value.value.isprintable()


def test_a_code_without_decimals_says_that_the_profile_can_give_them():
    with pytest.raises(RejectedValue, match="ISO 4217 gives XAU no decimals; the profile's"):
        CurrencyReader("THB", {}).read("xau")


@pytest.mark.parametrize(("missing", "decimals"), [("บาท", {}), ("THB", {"btc": 8}), ("", {})])
def test_a_profile_with_an_impossible_currency_is_refused(missing, decimals):
    with pytest.raises(ConfigurationError, match=r"must be|neither"):
        CurrencyReader(missing, decimals)


def test_the_codes_are_those_of_iso_4217():
    # 178 codes on the list of 2026-01-01, of which 13 have no number of decimals.
    assert len(_DECIMALS) + len(_WITHOUT_DECIMALS) == 178
    assert len(_WITHOUT_DECIMALS) == 13
    counts = Counter(_DECIMALS.values())
    assert counts == {0: 17, 2: 139, 3: 7, 4: 2}
    assert all(re.fullmatch("[A-Z]{3}", code) for code in {*_DECIMALS, *_WITHOUT_DECIMALS})

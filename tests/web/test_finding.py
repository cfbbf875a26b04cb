"""Finding words in a body: which lines have them, marked, with their neighbours."""

from postbell.web.finding import GAP, MAX_PLACES, places

TEXT = "\n".join(f"line {number}" for number in range(10))


def test_a_line_is_shown_with_its_neighbours_and_the_word_marked() -> None:
    found = places(TEXT, "E 5")

    assert found.lines == 1
    assert str(found.text) == str(GAP) + "\n".join(
        ("line 3", "line 4", "lin<mark>e 5</mark>", "line 6", "line 7")
    )


def test_lines_between_two_places_are_left_out_once() -> None:
    found = places("a\n" + "\n" * 9 + "b a", "a")

    assert found.lines == 2
    assert found.text.count(str(GAP)) == 1
    assert found.text.startswith("<mark>a</mark>\n")


def test_only_the_first_places_are_shown() -> None:
    found = places("here\n" * (MAX_PLACES + 1), "here")

    assert (found.lines, found.is_cut) == (MAX_PLACES + 1, True)
    assert found.text.count("<mark>") <= MAX_PLACES + 2


def test_text_and_word_are_escaped() -> None:
    found = places("say <script> & <b>", "<script>")

    assert found.text == "say <mark>&lt;script&gt;</mark> &amp; &lt;b&gt;"


def test_nothing_is_found_of_nothing() -> None:
    assert places(TEXT, "") == (0, "", False)
    assert places(TEXT, "absent") == (0, "", False)


def test_a_word_whose_case_has_another_length_is_found_unmarked() -> None:
    found = places("İstanbul", "istanbul")

    assert found.lines in (0, 1)
    assert "<mark>" not in found.text or "stanbul" in found.text

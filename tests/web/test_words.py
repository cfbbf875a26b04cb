"""Catalogues: complete in every language, and used."""

import re
import string
from importlib.resources import files

import pytest

from postbell.dialects import DIALECTS
from postbell.errors import UNANSWERED, PostbellError
from postbell.events import EventType
from postbell.trail import ACTIONS, ActorKind
from postbell.web import words
from tests.shape import source

OTHERS = [language for language in words.LANGUAGES if language != words.DEFAULT]


def names(message: words.Text) -> set[str]:
    """Return the names in all forms of a message, but n, which a form may leave out."""
    forms = message.values() if isinstance(message, dict) else [message]
    found = {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}
    return found - {"n"}


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_every_message_and_no_other(language: str) -> None:
    assert words.of(language).messages.keys() == words.of("en").messages.keys()


@pytest.mark.parametrize("language", OTHERS)
def test_a_message_names_what_its_english_one_names(language: str) -> None:
    english = words.of("en").messages

    strange = {
        key
        for key, message in words.of(language).messages.items()
        if not names(message) <= names(english[key])
        or (not isinstance(message, dict) and names(message) != names(english[key]))
    }

    assert strange == set()


def test_every_message_that_a_template_or_module_names_is_there() -> None:
    templates = files("postbell.web").joinpath("templates")
    texts = [file.read_text("utf-8") for file in templates.iterdir()]
    texts += [path.read_text("utf-8") for path in (source.FOLDER / "web").glob("*.py")]
    used = {
        key
        for text in texts
        for key in re.findall(r"""(?:\bt|\bsay)\(\s*["']([\w.]+)["']\s*[,)]""", text)
    }

    assert len(used) > 150
    assert used - words.of("en").messages.keys() == set()


def test_every_action_and_actor_of_the_trail_has_its_words() -> None:
    keys = {key for key in words.of("en").messages if key.startswith(("trail.did", "trail.kind"))}

    actions = {f"trail.did.{action.name}" for action in ACTIONS}
    assert keys == actions | {f"trail.kind.{kind}" for kind in ActorKind}


def test_every_type_error_and_state_has_its_words() -> None:
    say = words.of("en")

    assert [kind for kind in EventType if not say.has(f"type.{kind}")] == []
    assert [error for error in UNANSWERED if not say.has(f"error.{error}")] == []
    assert issubclass(PostbellError, Exception)


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_option_of_a_payload_has_a_name_and_a_hint(language: str) -> None:
    say = words.of(language)

    rows = [f"{each.name}.{row[0]}" for each in DIALECTS.values() for row in each.option_rows()]

    assert len(rows) > 5
    assert [key for key in rows if not say.has(f"option.{key}")] == []
    assert [key for key in rows if not say.has(f"option_hint.{key}")] == []


@pytest.mark.parametrize("reason", ["customer", "operator", "gone", "failing", "internal_error"])
def test_every_reason_of_a_pause_has_its_words(reason: str) -> None:
    say = words.of("en")

    assert say.has(f"dash.reason.{reason}")
    assert say.has(f"webhook.is_paused.{reason}")


@pytest.mark.parametrize(
    ("language", "wording"),
    [
        (
            "ru",
            {
                "type.delivered": "Доставлено",
                "word.undelivered": "Не доставлено",
                "type.hard_bounce": "Не доставлено",
                "type.open": "Открыто",
                "type.click": "Переход по ссылке",
                "type.spam_report": "Отмечено как спам",
                "type.unsubscribe": "Отписался",
                "type.resubscribe": "Переподписался",
            },
        ),
        (
            "fr",
            {
                "type.delivered": "L'e-mail a été délivré avec succès",
                "type.spam_report": "L'utilisateur signale l'e-mail comme spam",
                "type.hard_bounce": "Le message n'a pas été envoyé avec succès",
                "type.soft_bounce": "Le destinataire rejette le message",
                "type.click": "L'utilisateur clique sur un lien",
                "type.open": "L'utilisateur ouvre l'e-mail",
                "type.unsubscribe": "L'utilisateur se désabonne de l'e-mail",
                "type.request": "La demande d'e-mail a réussi",
                "type.sent": "L'e-mail a été envoyé avec succès",
                "word.engagelab.request": "La demande d'e-mail a réussi, y compris les e-mails"
                " envoyés et en cours d'envoi",
            },
        ),
    ],
)
def test_event_names_are_worded_as_the_providers_word_them(
    language: str, wording: dict[str, str]
) -> None:
    say = words.of(language)

    assert {key: say(key) for key in wording} == wording


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (1, "1 событие"), (2, "2 события"), (5, "5 событий"), (11, "11 событий"),
        (21, "21 событие"), (22, "22 события"), (112, "112 событий"), (0, "0 событий"),
    ],
)  # fmt: skip
def test_russian_counts_agree_with_their_nouns(n: int, said: str) -> None:
    assert words.of("ru")("webhook.events", n=n, count=str(n)) == said


def test_french_takes_nought_as_one() -> None:
    say = words.of("fr")

    assert say("webhook.events", n=0, count="0") == "0 événement"
    assert say("webhook.events", n=2, count="2") == "2 événements"


def test_an_unknown_message_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"nothing\.here"):
        words.of("en")("nothing.here")


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_word_that_stands_for_several_types_is_called_by_a_text_of_its_own(
    language: str,
) -> None:
    say = words.of(language)

    unsaid = [
        f"{name}: {tick.word}"
        for name, dialect in DIALECTS.items()
        for tick in dialect.ticks({})
        if len(tick.types) > 1
        and not (say.has(f"word.{name}.{tick.word}") or say.has(f"word.{tick.word}"))
    ]

    assert unsaid == []

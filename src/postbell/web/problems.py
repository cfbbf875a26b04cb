"""What is wrong with a form, in the viewer's language, beside the field that it concerns."""

from collections.abc import Mapping

from postbell.errors import PostbellError
from postbell.web.words import Words

Errors = Mapping[str, str]


def explain(say: Words, error: PostbellError) -> str:
    """Return the error's message in the viewer's language, as the desk wrote it where the
    catalogue has no words for its code or member."""
    member = getattr(error, "member", "")
    for key in (f"wrong.{error.code}", f"wrong.{member}"):
        if say.language != "en" and say.has(key):
            return say(key)
    message = error.message.removeprefix(f"{member}: ").removeprefix(f"{member} ")
    return message[:1].upper() + message[1:]


def beside(say: Words, error: PostbellError) -> dict[str, str]:
    """Return the message under the name of the field that it belongs to, "" for the form."""
    member = getattr(error, "member", "")
    return {member: explain(say, error)}

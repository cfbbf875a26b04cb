"""The audit trail: who can act, and every action."""

from postbell import trail as source
from tools.pages import markdown

_ACTORS = {
    source.ActorKind.PERSON: "somebody who signed in to an account",
    source.ActorKind.OPERATOR: "an operator; where `sign_in` is off, whoever reaches the pages",
    source.ActorKind.KEY: "an api user's key",
    source.ActorKind.COMMAND: "a command on the machine",
    source.ActorKind.GUEST: "somebody who is not signed in",
    source.ActorKind.SYSTEM: "the service itself",
}


def trail() -> str:
    """Return the page of actors and actions."""
    return markdown.page(
        "Audit trail",
        "`src/postbell/trail.py`",
        "## Actors\n",
        markdown.table(
            ("kind", "who"), ((markdown.code(kind), _ACTORS[kind]) for kind in source.ActorKind)
        ),
        "## Actions\n",
        markdown.table(
            ("action", "meaning"),
            ((markdown.code(action.name), action.meaning) for action in source.ACTIONS),
        ),
    )

"""The page of lanes: at which gates they stand, and in which stages their batches."""

from postbell.lane import gate, stage


def lanes() -> str:
    """Return the page, in Markdown."""
    return f"""# Lanes: what a worker does with a webhook, and when

Generated from `src/postbell/lane/gate.py` and `src/postbell/lane/stage.py`. A lane is one webhook's
delivery in the hands of the worker that holds it. What it may do now is said by the *gate* at which
it stands; what becomes of an open batch next by the *stage* that it is in. Both are tables.

Beside them a worker begins nothing of any lane while it stops or does not know the keys that sign,
nothing of a lane that it is about to pause for an error of ours, and nothing before a batch that is
`opening`.

## Gates

A lane stands at the first of these that is so.

| gate | when | sends again | begins new ones | requests at once |
|---|---|---|---|---|
{_gates()}

"Sends again" is what is in the stage `due`, each batch at its own time; "new ones" are batches in
the stage `ahead`, cuts, single events and the steps of replays. A webhook that promises order has
one request at once at every gate. From `held`, `spaced` and `down` a lane goes on by itself, at a
time that is known.

What has waited since it was taken up, for its events, for its turn or for a free connection, looks
again before it leaves: at `gone`, `paused` and `held` it is laid down, and so is a batch that
somebody stopped meanwhile.

## Stages

| stage | a batch that is in it | in somebody's hand |
|---|---|---|
{_stages()}

A batch that is delivered, parked or dropped has no stage: the worker holds it no more. One that was
closed by somebody else while it was in a hand stays in that hand until it is laid down, so that
nobody begins it where it is opened again.

| from | when | to |
|---|---|---|
{_steps()}

Whatever is not in the table cannot happen: a step that is not there is an error of ours.

## Changes

A lane changes by a `LaneChange` and by nothing else. One function of `src/postbell/lane/changes.py`
makes it for each thing that can become of a lane; the ledger writes it, whole or not at all; then
the worker's memory is brought to it by one method (`Held.apply`), before anything else of the lane
is written. So what a worker holds is what the ledger says, and the tests of the model look at that
after every step of every story.

Writes of a lane follow each other by tickets. So do batches that are cut, by tickets of their own,
which they take when they are cut and before their bodies are made: bodies that are ready early
never move the cursor out of turn, and hold no other write up. Work begins in the order in which it
was taken: it waits in one queue, and whoever is free takes the first of it.
"""


def _gates() -> str:
    return "\n".join(
        f"| `{each}` | {row.meaning} | {_yes(row.may_send)} | {_yes(row.may_begin)} |"
        f" {_at_once(row)} |"
        for each, row in gate.ROWS.items()
    )


def _at_once(row: gate.GateRow) -> str:
    if not row.may_send:
        return "none"
    return "one" if row.is_alone else "the policy's `concurrency`"


def _stages() -> str:
    return "\n".join(
        f"| `{each}` | {row.meaning} | {_yes(row.is_in_hand)} |" for each, row in stage.ROWS.items()
    )


def _steps() -> str:
    return "\n".join(
        f"| `{before}` | {happening} | `{after}` |"
        for (before, happening), after in stage.STEPS.items()
        if before is not after
    )


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"

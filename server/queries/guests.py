"""People from outside who have an account here: until when, and who answers for them."""


def admitted(account: str, now: str) -> str:
    """The condition under which an account (an alias of `account`) may come in: not suspended and, for a guest,
    before their end and while their sponsor works here. `now`: the parameter with the moment, in milliseconds.

    Nothing is written when an end date passes or a sponsor leaves: whoever looks a caller up asks this.
    """
    return (
        f"{account}.suspended_at IS NULL AND ({account}.office <> 'guest' OR ({account}.until_at > {now}"
        f" AND EXISTS (SELECT 1 FROM account sponsor JOIN actor face ON face.id = sponsor.actor_id"
        f" WHERE sponsor.actor_id = {account}.sponsor_id AND sponsor.office <> 'guest'"
        f" AND sponsor.suspended_at IS NULL AND face.gone_at IS NULL)))"
    )

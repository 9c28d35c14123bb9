"""What is exported and read again is what was there, for any policy."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from server.bounds import problems
from server.declared import wanted_of
from server.declared_values import KINDS
from server.openness import AfterClose, Audience, History, Identity, Level, LinkState, PartnerView, Reach
from server.queries.declared import LiveLink, LiveSpace
from server.rights import taken
from server.space_export import moment, written
from server.space_policy import DAY_MS, Guardrails, PartnerTerms, SpacePolicy, reset_outside
from server.spacefile import read

NOW = 1_790_000_000_000
HOSTS = ("kestrel.example", "solstice.example:8443")
LINKS = {host: LiveLink(host, LinkState.ACTIVE, host < "l", "sha256:" + "0" * 64) for host in HOSTS}
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
LATER = st.integers(NOW + DAY_MS, NOW + 10**12) | st.integers(22_000, 30_000).map(lambda day: day * DAY_MS - 1)
LESS = st.dictionaries(st.sampled_from(sorted(KINDS)), st.integers(0, 2), max_size=3).map(lambda d: taken(d.items()))
TERMS = st.builds(
    PartnerTerms,
    host=st.sampled_from(HOSTS),
    reach=st.sampled_from(("", "invited")),
    until_at=st.none() | LATER,
    people_max=st.integers(0, 99),
    sponsor=st.sampled_from(("", "marie")),
    custody=st.sampled_from(("", "copies")),
    less=LESS,
)
PARTNERS = st.lists(TERMS, max_size=2, unique_by=lambda one: one.host).map(
    lambda terms: tuple(sorted(terms, key=lambda one: one.host))
)
READERS = (Audience.GUEST_MEMBER, Audience.PARTNER_MEMBER, Audience.FED_MEMBER, Audience.WEB)
POLICIES = st.builds(
    SpacePolicy,
    level=st.sampled_from(Level),
    listed=st.booleans(),
    reach=st.sampled_from(Reach),
    staff_read=st.booleans(),
    partners=PARTNERS,
    partner_view=st.sampled_from(PartnerView),
    history=st.sampled_from(History),
    history_days=st.just(30),
    less=st.dictionaries(st.sampled_from(READERS), LESS.filter(bool), max_size=2).map(
        lambda less: tuple(sorted(less.items()))
    ),
    identity_outside=st.sampled_from(Identity),
    first_posts_moderated=st.integers(0, 10),
    opens_at=st.none() | st.integers(20_000, 20_500).map(lambda day: day * DAY_MS) | st.just(NOW - 1),
    closes_at=st.none() | LATER,
    then_level=st.none() | st.sampled_from(Level),
    review_days=st.sampled_from((0, 180)),
    retention_days=st.integers(0, 900),
    after_close=st.sampled_from(AfterClose),
    seats=st.integers(0, 90),
    charter=TEXTS,
    tone=TEXTS,
    frame=TEXTS,
    language=st.sampled_from(("", "fr")),
    objectives=st.lists(st.fixed_dictionaries({"text": TEXTS}, optional={"date": TEXTS}), max_size=2).map(tuple),
    indexing=st.booleans(),
    proofs=st.booleans(),
).map(reset_outside)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(POLICIES, TEXTS.filter(lambda text: text.strip()), st.booleans())
def test_what_is_exported_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, policy: SpacePolicy, name: str, every: bool
) -> None:
    """And with every field said, whatever was there before."""
    assume(not problems(policy, Guardrails(), NOW))
    roles = {"marie": "owner", "li": "steward", "jo": "member"}
    live = LiveSpace(1, "team", name, "Une équipe", 3, policy, roles, "", ())
    file = Path(tmp_path_factory.getbasetemp()) / "exported.toml"
    file.write_text(written({"max_level": "public", "openings_a_week": 3}, LINKS, [live], every=every), "utf-8")
    found = read(file, NOW)
    space = found.spaces[0]
    assert (space.names, space.owner, space.stewards, space.description) == ({"": name}, "marie", ("li",), "Une équipe")
    assert wanted_of(space, policy, NOW, every=False) == policy
    if every:
        assert wanted_of(space, SpacePolicy(Level.NETWORK, history_days=30), NOW, every=False) == policy
    assert {partner.host: partner.kin for partner in found.partners} == {
        terms.host: LINKS[terms.host].kin for terms in policy.partners
    }


def test_a_day_is_written_as_a_day_and_a_moment_as_a_moment() -> None:
    assert moment(DAY_MS * 20_000 - 1, end=True) == "2024-10-03"
    assert moment(DAY_MS * 20_000, end=False) == "2024-10-04"
    assert moment(DAY_MS * 20_000, end=True) == "2024-10-04T00:00:00.000Z"

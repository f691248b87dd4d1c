"""Keys: the same place gives the same key, and different places never do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock_server.engine.keys import ROOT, Key

_NAMES = st.text(alphabet="ab/#@+:%é ", min_size=1, max_size=6)
_STEPS = st.one_of(
    st.tuples(st.just("child"), _NAMES),
    st.tuples(st.just("part"), _NAMES),
    st.tuples(st.sampled_from(["iteration", "occurrence", "attempt"]), st.integers(1, 30)),
)
_WALKS = st.tuples(_NAMES, st.lists(_STEPS, max_size=5))


def walked(walk: tuple[str, list[tuple[str, str | int]]]) -> Key:
    name, steps = walk
    key = ROOT.child(name)
    for verb, argument in steps:
        key = getattr(key, verb)(argument)
    return key


def test_a_key_reads_like_its_place() -> None:
    key = ROOT.child("publish").child("review").iteration(2).child("draft").attempt(1)
    assert key.part("turn3") == "publish/review#2/draft@1:turn3"


@given(_WALKS, _WALKS)
def test_two_walks_meet_only_where_they_are_the_same(one: object, other: object) -> None:
    same = one == other
    assert (walked(one) == walked(other)) == same  # type: ignore[arg-type]

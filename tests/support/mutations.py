"""Inputs that nobody meant: good ones with a value, a key or some bytes changed, by hypothesis."""

import contextlib
import copy
import json
import resource

import psutil
from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**12, 10**30, 1e308, float("inf"), float("nan")]),
    st.integers(-(10**6), 10**6),
)
VALUES = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.text(max_size=20),
    st.lists(NUMBERS, max_size=4),
    st.just("x" * 5_000),
    st.just({"a": {"b": [1]}}),
    st.just([[[[[[[[1]]]]]]]]),
)


def places_of(value, before=()):
    """The path of every value within a value of JSON."""
    yield before
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_of(child, (*before, key))


@st.composite
def changed(draw, good):
    """A value of JSON with one to three places replaced, removed or doubled."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in places_of(value) if place]
        if not places:
            return value
        *above, last = draw(st.sampled_from(places))
        parent = value
        for key in above:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "replace", "remove", "double"]))
        if action == "remove":
            del parent[last]
        elif action == "double" and isinstance(parent, dict):
            parent[f"{last}2"] = copy.deepcopy(parent[last])
        else:
            parent[last] = copy.deepcopy(draw(VALUES))
    return value


@st.composite
def damaged(draw, good):
    """Bytes with some cut, replaced or put in."""
    start = draw(st.integers(0, len(good)))
    end = draw(st.integers(start, min(len(good), start + 40)))
    return good[:start] + draw(st.binary(max_size=40)) + good[end:]


def texts(good):
    """The JSON of `good`, changed or damaged, as bytes; at times nested deeper than Python goes."""
    deep = st.sampled_from([b"[", b'{"a":']).map(lambda opening: opening * 100_000)
    whole = json.dumps(good).encode()
    return st.one_of(changed(good).map(lambda v: json.dumps(v).encode()), damaged(whole), deep)


@contextlib.contextmanager
def memory_bounded(more_bytes):
    """Within the block this process may take that much more memory, and no more."""
    now_bytes = psutil.Process().memory_info().vms
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

"""What a browser may send, and what it may not."""

from __future__ import annotations

import json

import pytest

from stream.messages import Allowance, BadMessage, Request, parse


def test_a_subscription_names_each_topic_once() -> None:
    text = json.dumps({"type": "subscribe", "topics": ["portfolio", "bot:3", "portfolio"]})

    assert parse(text) == Request("subscribe", ("portfolio", "bot:3"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "MESSAGE_NOT_JSON"),
        ("{", "MESSAGE_NOT_JSON"),
        ("[" * 20_000, "MESSAGE_NOT_JSON"),
        ("[]", "MESSAGE_UNKNOWN"),
        ("7", "MESSAGE_UNKNOWN"),
        ('{"type": "drop"}', "MESSAGE_UNKNOWN"),
        ('{"type": ["subscribe"]}', "MESSAGE_UNKNOWN"),
        ('{"type": "subscribe"}', "MESSAGE_INVALID"),
        ('{"type": "subscribe", "topics": []}', "MESSAGE_INVALID"),
        ('{"type": "subscribe", "topics": "portfolio"}', "MESSAGE_INVALID"),
        ('{"type": "subscribe", "topics": ["a"], "is_admin": true}', "MESSAGE_INVALID"),
        ('{"type": "subscribe", "topics": [7]}', "TOPIC_UNKNOWN"),
        ('{"type": "subscribe", "topics": ["../etc"]}', "TOPIC_UNKNOWN"),
        ('{"type": "subscribe", "topics": ["bot:\\u0663"]}', "TOPIC_UNKNOWN"),
        (json.dumps({"type": "subscribe", "topics": ["x" * 65]}), "TOPIC_UNKNOWN"),
        (json.dumps({"type": "subscribe", "topics": [f"bot:{n}" for n in range(10_000)]}), "TOPICS_TOO_MANY"),
    ],
)
def test_anything_else_is_refused_with_a_code(text: str, code: str) -> None:
    with pytest.raises(BadMessage) as refusal:
        parse(text)

    assert refusal.value.code == code


def test_twenty_messages_a_second_and_no_more() -> None:
    allowance = Allowance(20, now=0.0)

    assert [allowance.take(now=0.0) for _ in range(21)] == [True] * 20 + [False]
    assert allowance.take(now=0.05)
    assert not allowance.take(now=0.06)

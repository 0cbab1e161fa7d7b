"""Damage bytes, JSON values and numbers at random, each the same for the same generator."""

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

DEEP = "[" * 3000 + "]" * 3000
LONG = "x" * 100_000
RAW = {  # texts that strict JSON has not, or that no reader expects, by their placeholders
    f"@raw{i}@": text
    for i, text in enumerate(
        [
            *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "1e-999", "-0", "-0.0"),
            *(
                '"\\ud800"',
                '"\\u0000"',
                '"\\u001b[31m"',
                '"\\n"',
                DEEP,
                '{"a":1,"a":2}',
                "01",
                "'a'",
            ),
            *("1" * 5000, "0.1e1", "", "//", "tru"),
        ]
    )
}
VALUES = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        255,
        256,
        2**31 - 1,
        2**31,
        2**32,
        2**53,
        2**53 + 1,
        2**63,
    ),
    *(2**64, 10**30, 10**300, 0.0, -0.0, 0.5, 1.5, 1e-9, 1e15, 1e30, 1e38, 3.5e38, 1e300, 1.8e308),
    *(
        5e-324,
        -1e30,
        "",
        "x",
        "0",
        "1",
        "1e5",
        "nan",
        "inf",
        "true",
        "random",
        "mlp",
        "vgg",
        "relu",
    ),
    *("../../../etc/passwd", "/dev/zero", "/", ".", "a\nb", "\x1b]0;title\x07", "\u202e", "é" * 50),
    *(LONG, "$x^{2$", "%s %d {0} {a}", "__class__", "weight", "float32", "cuda", "npz:/dev/zero"),
    *(
        [],
        {},
        [[]],
        [{}],
        [None],
        [0],
        [1, 8, 8],
        [3, 32, 32],
        [1e308, 1e308],
        ["a"],
        {"a": 1},
        {"": 0},
    ),
    *([0] * 2000, {str(i): i for i in range(500)}, [[[[[[1]]]]]], *RAW),
)
EDGES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00" * 8, b"\xff" * 8)


def damaged_bytes(content: bytes, chance: Random) -> bytes:
    """Return bytes with one to four random changes: flips, cuts, insertions, repeats."""
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        n = len(out)
        i = chance.randrange(n + 1) if chance.random() < 0.6 else min(n, chance.randrange(200))
        j = min(n, i + chance.choice((1, 1, 2, 4, 8, 64, 1000)))
        match chance.randrange(8):
            case 0 if n:
                out[min(i, n - 1)] ^= 1 << chance.randrange(8)
            case 1:
                out[i:j] = chance.choice(EDGES)
            case 2:
                out[i:j] = chance.randbytes(j - i)
            case 3:
                del out[i:j]
            case 4:
                del out[i:]
            case 5:
                out[i:i] = out[i:j]
            case 6:
                out[i:i] = chance.choice(EDGES)
            case _ if n:
                k = chance.randrange(n)
                out[i:j] = out[k : k + j - i]
    return bytes(out)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each place in a JSON value: a container with a key or an index of it."""
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        items = one.items() if isinstance(one, dict) else enumerate(one)
        for key, item in items:
            found.append((one, key))
            if isinstance(item, (dict, list)):
                waiting.append(item)
    return found


def damaged_value(value: Any, chance: Random) -> Any:
    """Return a JSON value near another one, or an edge value."""
    kind = chance.random()
    if kind < 0.4:
        if isinstance(value, bool):
            return not value
        if isinstance(value, (int, float)):
            by = (-value, value + 1, value - 1, value * 10, value / 3, str(value), value * 1e300, 0)
            return chance.choice([*by, int(value) if abs(value) < 1e300 else 0])
        if isinstance(value, str):
            at = chance.randrange(len(value) + 1)
            return chance.choice(
                (value[:at], value + "x", value.upper(), value[::-1], [value], value[:at] + "\0")
            )
        if isinstance(value, list) and value:
            return chance.choice((value[:-1], value + value[-1:], value[::-1], value[:1] * 50))
    return deepcopy(chance.choice(VALUES))  # a list may be damaged in turn


def damaged_json(text: str, chance: Random) -> bytes:
    """Return the text of a JSON value with one to three values or keys changed."""
    if chance.random() < 0.1:
        return damaged_bytes(text.encode(), chance)
    whole = [json.loads(text)]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        all_places = places(whole)
        container, key = chance.choice(all_places)
        way = chance.random()
        if way < 0.6:
            container[key] = damaged_value(container[key], chance)
        elif way < 0.75:
            del container[key]
            whole = whole or [None]
        elif way < 0.9:
            other, at = chance.choice(all_places)
            container[key] = json.loads(json.dumps(other[at]))
        elif isinstance(container, dict):
            name = chance.choice(
                (key + "x", key.upper(), "", "x" * 300, "\x1b[1m", "a.b", "format")
            )
            container[name] = container.pop(key)
        else:
            container.insert(key, damaged_value(container[key], chance))
    return with_raw(json.dumps(whole[0], allow_nan=True)).encode(errors="surrogatepass")


def with_raw(text: str) -> str:
    """Replace the placeholders in a JSON text by the texts for which they stand."""
    for placeholder, raw in RAW.items():
        if placeholder in text:
            text = text.replace(f'"{placeholder}"', raw)
    return text


def chosen(chance: Random, *ways: tuple[float, Callable[[], bytes]]) -> bytes:
    """Return what one of several functions returns, each with its weight."""
    functions = [function for _, function in ways]
    return chance.choices(functions, [weight for weight, _ in ways])[0]()

"""Damage files by their structure: safetensors, npz, zips of torch.save, pickles, PNG."""

import io
import json
import pickle
import pickletools
import struct
import zipfile
import zlib
from itertools import pairwise
from random import Random

import numpy as np

from helpers.attacks.mutations import damaged_bytes, damaged_json, damaged_value

DTYPES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1},
    **{"BOOL": 1, "F8_E4M3": 1, "U64": 8, "C64": 8, "F4": 1},
}
FLOATS = (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 3e38, 1e-45, 0.0, -0.0, -1.0)
CODE = (
    *(b"cos\nsystem\n(S'touch executed'\ntR", b'cbuiltins\neval\n(S\'open("executed","w")\'\ntR'),
    *(b'cbuiltins\nexec\n(S\'open("executed","w")\'\ntR', b"csubprocess\nPopen\n(S'ls'\ntR"),
    *(
        b"ctorch.hub\nload\n(S'a'\nS'b'\ntR",
        b"cbuiltins\ngetattr\n(ctorch\nload\nS'__globals__'\ntR",
    ),
    *(b"cposix\nsystem\n(S'touch executed'\ntR", b"ios\nsystem\n(S'touch executed'\n"),
)

SHAPES = (
    *("(2**40,)", "(1000000000000,)", "(-1,)", "()", "(4, 8, 8)", "(1e3,)", "('a',)", "None"),
    *("(0, 8, 8)", "(10**30,)", "(1,)*40", "(99999999999999999999999,)", "(((((", "(4,)"),
)
TYPES = (
    *("'<f4'", "'|u1'", "'>i8'", "'<c8'", "'|O'", "'|V8'", "'<U5'", "'<M8[s]'", "'<f2'", "'|b1'"),
    *("[('a','<f4')]", "'<f16'", "'x'", "3", "'<U9999999'", "None", "'|S0'"),
)
"""What headers of arrays in an npz may say, right or not."""


def safetensors_parts(content: bytes) -> tuple[dict, bytes]:
    """Return header and data of a whole safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def safetensors_of(header: bytes, data: bytes) -> bytes:
    """Return the file of a header and data."""
    return struct.pack("<Q", len(header)) + header + data


def damaged_safetensors(content: bytes, chance: Random, key: str | None, reseal=None) -> bytes:
    """Return a safetensors file with damage in bytes, header, tensors or the JSON at `key`.

    `reseal` is called with the metadata as an object and the tensors, where both are whole, and
    returns the text of the metadata: it puts a digest right that would refuse all damage.
    """
    if (way := chance.random()) < 0.12:
        return damaged_bytes(content, chance)
    header, data = safetensors_parts(content)
    if way < 0.3:
        return safetensors_of(damaged_json(json.dumps(header), chance), data)
    tensors = {
        name: [entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]]
        for name, entry in header.items()
        if name != "__metadata__"
    }
    texts = dict(header.get("__metadata__", {}))
    if key is not None and way < 0.7:
        texts[key] = damaged_json(texts[key], chance).decode(errors="replace")
    else:
        for _ in range(chance.choice((1, 1, 2))):
            _damage_tensor(tensors, chance)
    if reseal is not None and chance.random() < 0.9:
        texts[key] = reseal(texts[key], tensors)
    return joined(tensors, texts)


def joined(tensors: dict, texts: dict) -> bytes:
    header, at = {"__metadata__": texts} if texts else {}, 0
    for name, (dtype, shape, numbers) in tensors.items():
        offsets = [at, at + len(numbers)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        at += len(numbers)
    return safetensors_of(json.dumps(header).encode(), b"".join(n for _, _, n in tensors.values()))


def _damage_tensor(tensors: dict, chance: Random) -> None:
    name = chance.choice(sorted(tensors))
    dtype, shape, numbers = tensors[name]
    match chance.randrange(8):
        case 0:
            del tensors[name]
            tensors.setdefault("a.weight", ["F32", [2, 2], bytes(16)])
        case 1:
            odd = ("fc1.weight", "x", "", "a.b.c.weight", "half.weight", "\x1b[1m.weight", "0.bias")
            tensors[chance.choice((*odd, name + ".x", f"{name}x"))] = tensors.pop(name)
        case 2:  # another type, the shape as before
            new = chance.choice(sorted(DTYPES))
            tensors[name] = [new, shape, _repeated(numbers, _count(shape) * DTYPES[new])]
        case 3:  # another shape, with numbers for it
            new = [
                list(s)
                for s in ([], [0], [1], [1, 1], [2, 0, 3], [7], [3, 4], [1] * 12, [4, 4, 3, 3])
            ]
            new += [shape[::-1], [*shape, 1], shape[1:], [1, *shape], [n + 1 for n in shape]]
            new = chance.choice(new)
            size = min(_count(new) * DTYPES.get(dtype, 1), 10**7)
            tensors[name] = [dtype, new, _repeated(numbers, size)]
        case 4:
            tensors[f"{name}2"] = list(tensors[name])
        case 5 if dtype == "F32":
            value = struct.pack("<f", chance.choice(FLOATS))
            tensors[name][2] = value * (len(numbers) // 4)
        case 6 if dtype == "F32" and numbers:
            at = 4 * chance.randrange(len(numbers) // 4)
            tensors[name][2] = (
                numbers[:at] + struct.pack("<f", chance.choice(FLOATS)) + numbers[at + 4 :]
            )
        case _:
            tensors[name][2] = chance.randbytes(len(numbers))


def _count(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _repeated(numbers: bytes, size: int) -> bytes:
    numbers = numbers or b"\0"
    return (numbers * (size // len(numbers) + 1))[:size]


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip with these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def members_of(content: bytes) -> dict[str, bytes]:
    """Return the members of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def damaged_pytorch(content: bytes, chance: Random) -> bytes:
    """Return a file of torch.save, zip or older format, with damage in bytes, pickle or members."""
    is_zip = content[:2] == b"PK"
    if (way := chance.random()) < 0.15:
        return damaged_bytes(content, chance)
    if not is_zip:  # several pickles one after the other, then the numbers
        return damaged_pickle(content, chance)
    members = members_of(content)
    name = chance.choice(sorted(members))
    if way < 0.8:
        name = next(name for name in members if name.endswith("data.pkl"))
        members[name] = damaged_pickle(members[name], chance)
    elif way < 0.9:
        members[name] = damaged_bytes(members[name], chance)
    elif way < 0.95:
        del members[name]
    else:
        members[name + chance.choice(("x", "/../../x", "\x1b[1m"))] = members.pop(name)
    return zip_of(members, chance.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED,)))


def damaged_pickle(content: bytes, chance: Random) -> bytes:
    """Return a pickle with operations replaced, repeated, dropped or added, or with code in it."""
    pieces, end = _operations(content)
    if len(pieces) < 2 or chance.random() < 0.1:
        return damaged_bytes(content, chance)
    for _ in range(chance.choice((1, 1, 2, 3))):
        i, j = chance.randrange(len(pieces)), chance.randrange(len(pieces))
        match chance.randrange(7):
            case 0:
                pieces[i] = pieces[j]
            case 1:
                pieces.insert(i, pieces[j])
            case 2:
                pieces[i] = b""
            case 3:
                pieces[i], pieces[j] = pieces[j], pieces[i]
            case 4:
                pieces.insert(i, chance.choice(CODE))
            case 5:
                pieces[i] = _other_number(pieces[i], chance)
            case _:
                pieces[i] = pickle.dumps(damaged_value(pieces[j][1:5].hex(), chance), 2)[2:-1]
    return b"".join(pieces) + content[end:]


def _operations(content: bytes) -> tuple[list[bytes], int]:
    """Return the operations of the pickles at the beginning of a file, and where these end."""
    pieces, start = [], 0
    try:
        while content[start : start + 1] == b"\x80":
            at = [position for _, _, position in pickletools.genops(content[start:])]
            pieces += [content[start + a : start + b] for a, b in pairwise(at)]
            pieces.append(b".")
            start += at[-1] + 1
    except ValueError:
        pass  # numbers follow
    return pieces, start


def _other_number(piece: bytes, chance: Random) -> bytes:
    if piece[:1] in (b"K", b"M", b"J", b"\x8a"):
        value = chance.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**40, 2**62, 2**70, 7, 65536))
        return pickle.dumps(value, 2)[2:-1]
    if piece[:1] == b"c":  # a global: another class
        odd = (b"os\nsystem", b"builtins\neval", b"torch\nint8", b"torch\nHalfStorage", b"a\nb")
        odd += (b"torch._utils\n_rebuild_sparse_tensor", b"torch._utils\n_rebuild_qtensor")
        return b"c" + chance.choice(odd) + b"\n"
    return damaged_bytes(piece, chance)


def damaged_npz(content: bytes, chance: Random) -> bytes:
    """Return an npz with damage in bytes, members, headers of arrays, or the arrays themselves."""
    if (way := chance.random()) < 0.15:
        return damaged_bytes(content, chance)
    members = members_of(content)
    name = chance.choice(sorted(members))
    if way < 0.3:
        members[name] = damaged_bytes(members[name], chance)
    elif way < 0.5:
        members[name] = _with_other_header(members[name], chance)
    elif way < 0.9:
        out = io.BytesIO()
        array = _other_array(np.load(io.BytesIO(members[name])), chance)
        np.save(out, array, allow_pickle=True)
        members[name] = out.getvalue()
    elif way < 0.95:
        del members[name]
    else:
        odd = ("x_val.npy", "images.npy", "y.npy", "x_train", "\x1b[1m.npy", ".npy", "../x.npy")
        members[chance.choice(odd)] = members.pop(name)
    return zip_of(members, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _with_other_header(member: bytes, chance: Random) -> bytes:
    (length,) = struct.unpack("<H", member[8:10])
    data = member[10 + length :]
    shape, descr = chance.choice(SHAPES), chance.choice(TYPES)
    order = chance.choice(("False", "True", "3", "None"))
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    if chance.random() < 0.1:
        text = damaged_bytes(text, chance)
    return member[:8] + struct.pack("<H", len(text)) + text + data


def _other_array(array: np.ndarray, chance: Random) -> np.ndarray:
    types = (
        "u1",
        "i1",
        "i2",
        "i8",
        "u8",
        "f2",
        "f4",
        "f8",
        "f16",
        "c8",
        "?",
        "U3",
        "S2",
        "M8[s]",
        "O",
        "V4",
    )
    if array.dtype.kind not in "biuf" or not array.size:
        return np.array(
            chance.choice((["alpha"], ["x"], [], [3], "alpha", ["alpha"] * 99, [["a"]]))
        )
    with np.errstate(all="ignore"):
        match chance.randrange(6):
            case 0:
                try:
                    return array.astype(chance.choice(types))
                except (TypeError, ValueError):
                    return array[:0]
            case 1:
                sizes = [(), (-1,), (1, -1), (-1, 1), (1, 1, -1), (-1, 1, 1, 1), (1, -1, 1, 1, 1)]
                return (
                    array.ravel()[:1].reshape(())
                    if (s := chance.choice(sizes)) == ()
                    else array.reshape(s)
                )
            case 2:
                return array[: chance.choice((0, 1, len(array) - 1))] if array.ndim else array
            case 3:
                wide = array.astype("f8") * chance.choice((1, 0, -1, 1e10, 1e300, 0.5))
                wide.ravel()[chance.randrange(wide.size or 1) :][:1] = chance.choice(FLOATS)
                return wide.astype(chance.choice(("f4", "f8")))
            case 4:
                return np.swapaxes(array, 0, -1) if array.ndim else array
            case _:
                wide = array.astype("i8")
                wide.ravel()[:1] = chance.choice((-1, 2**31, 2**62, 10**6, 99_999, 256, -(2**62)))
                return wide


def damaged_image(content: bytes, chance: Random) -> bytes:
    """Return an image file with damage in bytes, or in the chunks of a PNG with right checksums."""
    if content[:4] != b"\x89PNG" or chance.random() < 0.2:
        return damaged_bytes(content, chance)
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    i, j = chance.randrange(len(chunks)), chance.randrange(len(chunks))
    kind, data = chunks[i]
    match chance.randrange(6):
        case 0:
            chunks.insert(i, chunks[j])
        case 1:
            del chunks[i]
        case 2:
            size = chance.choice((0, 1, 2, 2**16, 2**31 - 1, 2**31, 30_000, 9_000))
            ihdr = bytearray(chunks[0][1] if chunks[0][0] == b"IHDR" else bytes(13))
            struct.pack_into(">I", ihdr, chance.choice((0, 4)), size)
            chunks[0] = (b"IHDR", bytes(ihdr))
        case 3:
            name = chance.choice(
                (b"tRNS", b"PLTE", b"iCCP", b"tEXt", b"zTXt", b"acTL", b"fcTL", b"eXIf")
            )
            chunks.insert(
                1,
                (
                    name,
                    chance.choice(
                        (
                            b"",
                            bytes(6),
                            chance.randbytes(40),
                            b"a\0\0" + zlib.compress(bytes(10**6)),
                        )
                    ),
                ),
            )
        case 4 if kind == b"IDAT":
            chunks[i] = (kind, zlib.compress(damaged_bytes(zlib.decompress(data), chance)))
        case _:
            chunks[i] = (kind, damaged_bytes(data, chance))
    out = content[:8]
    for kind, data in chunks:
        out += (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )
    return out

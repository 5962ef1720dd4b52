"""Writes GGUF version 3: metadata, then tensors at multiples of 32 bytes."""
import os
import pathlib
import struct

import numpy

ALIGNMENT = 32
U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
# Of ggml_type.
TENSOR_F32, TENSOR_F16, TENSOR_Q8_0 = 0, 1, 8


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value) -> bytes:
    """Type and value. Integers are u32, lists hold strings or i32."""
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value) if value < 2 ** 32 else struct.pack("<IQ", U64, value)
    if isinstance(value, float):
        return struct.pack("<If", F32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_string, value))
    return struct.pack("<IIQ", ARRAY, I32, len(value)) + struct.pack(f"<{len(value)}i", *value)


def q8_0(rows: numpy.ndarray) -> bytes:
    """Blocks of 32: the scale as half float, then the values as signed bytes (ggml's quantize_row_q8_0)."""
    blocks = rows.astype(numpy.float32).reshape(-1, 32)
    scale = numpy.abs(blocks).max(1) / 127
    inverse = numpy.divide(1, scale, out=numpy.zeros_like(scale), where=scale != 0)
    quants = numpy.rint(blocks * inverse[:, None]).astype(numpy.int8)
    out = numpy.empty(len(blocks), dtype=[("scale", "<f2"), ("quants", "i1", 32)])
    out["scale"], out["quants"] = scale, quants
    return out.tobytes()


def write(path: pathlib.Path, metadata: dict, tensors: dict, matrix_type: int):
    """`tensors`: name → array; matrices are stored as `matrix_type`, vectors as F32. Appears under its name whole."""
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    header += b"".join(_string(key) + _value(value) for key, value in metadata.items())
    blobs, offset = [], 0
    for name, array in tensors.items():
        kind = matrix_type if array.ndim == 2 else TENSOR_F32
        blob = (q8_0(array) if kind == TENSOR_Q8_0 else
                array.astype("<f2" if kind == TENSOR_F16 else "<f4").tobytes())
        header += _string(name) + struct.pack("<I", array.ndim)
        header += struct.pack(f"<{array.ndim}Q", *reversed(array.shape)) + struct.pack("<IQ", kind, offset)
        blobs.append(blob + b"\0" * (-len(blob) % ALIGNMENT))
        offset += len(blobs[-1])
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as out:
        out.write(header + b"\0" * (-len(header) % ALIGNMENT))
        for blob in blobs:
            out.write(blob)
        out.flush()
        os.fsync(out.fileno())
    os.replace(partial, path)

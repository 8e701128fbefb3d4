"""What the fixture scripts share: writing safetensors files."""
import json
import os
import struct

import numpy as np

TYPES = {np.dtype('<f4'): 'F32', np.dtype('u1'): 'U8', np.dtype('<i8'): 'I64'}


def write_safetensors(name, tensors):
    """Writes tests/fixtures/NAME from a dict of arrays, in the order given; the same arrays give the same bytes."""
    header, data = {}, b''
    for key, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[key] = {'dtype': TYPES[array.dtype], 'shape': list(array.shape), 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fixtures')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + data)

"""NT-Xent and its gradient for NumPy arrays, through ctypes.

    python3 nt_xent.py          # where libsimclr.so.0 is not in the linker's path: LIBSIMCLR=/usr/local/lib/libsimclr.so.0
"""
import ctypes
import os

import numpy

_lib = ctypes.CDLL(os.environ.get('LIBSIMCLR', 'libsimclr.so.0'))
_floats = ctypes.POINTER(ctypes.c_float)
_lib.simclr_engine_create.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p, ctypes.c_int32, ctypes.c_char_p]
_lib.simclr_engine_free.argtypes = [ctypes.c_void_p]
_lib.simclr_nt_xent.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_double), _floats, _floats, ctypes.c_int32, ctypes.c_int32,
                                ctypes.c_float, ctypes.c_char_p]


class Engine:
    def __init__(self, isa='auto', threads=0):
        self._handle = ctypes.c_void_p()
        self._error = ctypes.create_string_buffer(512)  # struct simclr_error
        self._check(_lib.simclr_engine_create(ctypes.byref(self._handle), isa.encode(), threads, self._error))

    def __del__(self):
        _lib.simclr_engine_free(self._handle)

    def _check(self, status):
        if status:
            raise RuntimeError(self._error.value.decode())

    def nt_xent(self, z, temperature):
        """z (rows, dim): rows i and i + rows / 2 are views of one image. Returns the loss and its gradient by z."""
        z = numpy.ascontiguousarray(z, numpy.float32)
        dz, loss = numpy.empty_like(z), ctypes.c_double()
        self._check(_lib.simclr_nt_xent(self._handle, ctypes.byref(loss), dz.ctypes.data_as(_floats), z.ctypes.data_as(_floats), *z.shape,
                                        temperature, self._error))
        return loss.value, dz


if __name__ == '__main__':
    z = numpy.random.default_rng(0).standard_normal((256, 128))
    loss, dz = Engine().nt_xent(z, 0.5)
    print(f'loss {loss:.6f}, gradient of length {numpy.linalg.norm(dz):.6f}')

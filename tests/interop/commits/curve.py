"""Ed25519 under the rules of ZIP-215, in plain Python: slow, and only as long as the text of the specification."""
import hashlib

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
ZERO = (0, 1, 1, 0)


def add(a, b):
    """Extended coordinates, RFC 8032, section 5.1.4."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, point):
    result = ZERO
    while number:
        if number & 1:
            result = add(result, point)
        point, number = add(point, point), number >> 1
    return result


def negated(point):
    return -point[0] % P, point[1], point[2], -point[3] % P


def is_zero(point):
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


def point_of(encoded):
    """The point of any spelling; None when there is none."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, (number & (1 << 255) - 1) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT % P
    if (v * x * x - u) % P:
        return None
    if x & 1 != sign:
        x = -x % P
    return x, y, 1, x * y % P


def is_small(point):
    return is_zero(times(8, point))


def is_key(encoded):
    """A canonical encoding of a point that has not small order."""
    if int.from_bytes(encoded, "little") & (1 << 255) - 1 >= P:
        return False
    point = point_of(encoded)
    # The other spellings, a set sign with x = 0, are of the points (0, 1) and (0, -1).
    return point is not None and not is_small(point)


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def verifies(key, message, signature):
    """[8][s]B = [8]R + [8][k]A, s below the group order, A and R in any spelling."""
    try:
        # What the stricter rules of the library take, these rules take too.
        VerifyKey(key).verify(message, signature)
        return True
    except (BadSignatureError, ValueError):
        pass
    s = int.from_bytes(signature[32:], "little")
    a, r = point_of(key), point_of(signature[:32])
    if s >= L or a is None or r is None:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    return is_small(add(times(s, BASE), negated(add(r, times(k, a)))))

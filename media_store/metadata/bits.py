"""Reading fields that are no whole bytes, as the headers of video codecs have them."""

from nanobanana.errors import UnreadablePicture

LONGEST_CODE = 32  # bits of a number in Exp-Golomb code


class Bits:
    """A cursor over bits, the most significant first; reading past the end raises UnreadablePicture."""

    def __init__(self, data: bytes) -> None:
        self.digits = "".join(f"{byte:08b}" for byte in data)
        self.position = 0

    def take(self, length: int) -> int:
        digits = self.digits[self.position : self.position + length]
        if len(digits) < length:
            raise UnreadablePicture
        self.position += length
        return int(digits or "0", 2)

    def leading_zeros(self) -> int:
        """Move past zeros and the one behind them; how many there were."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return zeros

    def exp_golomb(self) -> int:
        """A whole number whose length stands before it in zeros (H.265, section 9.2)."""
        length = self.leading_zeros()
        if length > LONGEST_CODE:
            raise UnreadablePicture
        return (1 << length) - 1 + self.take(length)

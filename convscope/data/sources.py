"""A data set's file -> where it is published, how many bytes it has and their SHA-256."""

from dataclasses import dataclass

TORONTO = "https://www.cs.toronto.edu/~kriz/"
CVDF = "https://storage.googleapis.com/cvdf-datasets/mnist/"  # MNIST's own host, yann.lecun.com, refuses programs
PYTORCH = "https://ossci-datasets.s3.amazonaws.com/mnist/"
ZALANDO = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"


@dataclass(frozen=True)
class Remote:
    """One published file.

    Attributes:
        size: its bytes; no server is let send more.
        sha256: in hexadecimal.
        hosts: addresses that end in ``/`` and to which its bare name is added; asked in this order.
    """

    size: int
    sha256: str
    hosts: tuple[str, ...]


# By the path in a data folder. The hashes of Fashion-MNIST are those of the files whose MD5 its authors publish
# (Xiao, Rasul, Vollgraf, README of zalandoresearch/fashion-mnist: 8d4fb7e6…, 25c81989…, bef4ecab…, bb300cfd…).
SOURCES: dict[str, Remote] = {
    "cifar-10-python.tar.gz": Remote(
        170_498_071, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", (TORONTO,)
    ),
    "cifar-100-python.tar.gz": Remote(
        169_001_437, "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7", (TORONTO,)
    ),
    "mnist/train-images-idx3-ubyte.gz": Remote(
        9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", (CVDF, PYTORCH)
    ),
    "mnist/train-labels-idx1-ubyte.gz": Remote(
        28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", (CVDF, PYTORCH)
    ),
    "mnist/t10k-images-idx3-ubyte.gz": Remote(
        1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", (CVDF, PYTORCH)
    ),
    "mnist/t10k-labels-idx1-ubyte.gz": Remote(
        4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", (CVDF, PYTORCH)
    ),
    "fashion-mnist/train-images-idx3-ubyte.gz": Remote(
        26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", (ZALANDO,)
    ),
    "fashion-mnist/train-labels-idx1-ubyte.gz": Remote(
        29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", (ZALANDO,)
    ),
    "fashion-mnist/t10k-images-idx3-ubyte.gz": Remote(
        4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", (ZALANDO,)
    ),
    "fashion-mnist/t10k-labels-idx1-ubyte.gz": Remote(
        5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", (ZALANDO,)
    ),
}

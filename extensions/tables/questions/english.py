"""English words by which a person asks for something of a table. Questions in other languages are not read by them."""

# Words that say nothing of which rows or columns are meant
FILLERS = frozenset(
    """the a an is are was were be been being am do does did have has had having there here it its this that these those of in on at to for from
    with by as into i me my we our us you your he she his her they them their one each every all any some much many what which who whom whose when where how
    please tell show list give name find state say says called shall should can could would will and take takes took taken need needs needed use used uses
    stand stands stood lie lies lay live lives lived come comes came go goes went get gets got make makes made contain contains exist exists offer
    sort sorts kind kinds number numbers figure figures amount value values entry entries row rows table between if so then also only just than among within""".split()  # noqa: SIM905
)
# Words that turn a condition around, or join two: what they do to a query is not worked out
BREAKERS = frozenset(
    """not no none never without except excluding neither nor or but other another besides unlike different same both twice half double
    percent percentage share ratio per-cent yet still already now today currently before-last next previous last first second third fourth
    nearly almost roughly about around approximately median mode typical most-recent why""".split()  # noqa: SIM905
)
LARGEST = frozenset(
    [
        "most",
        "highest",
        "largest",
        "biggest",
        "greatest",
        "longest",
        "tallest",
        "dearest",
        "heaviest",
        "deepest",
        "widest",
        "fastest",
        "maximum",
    ]
)
SMALLEST = frozenset("least lowest smallest fewest shortest cheapest lightest slowest minimum".split())  # noqa: SIM905
# The figure of a time says how early it is, so what is oldest has the smallest
OLDEST, NEWEST = frozenset({"oldest", "earliest"}), frozenset({"newest", "latest", "youngest"})
SUMS = frozenset("together altogether total sum".split())  # noqa: SIM905
AVERAGES = frozenset({"average"})
BY = frozenset({"by", "per"})
# Words before a year that stands for itself
OF_A_YEAR = frozenset({"in", "of", "for", "year"})
# Question words, and what they ask for beside "which" and "what"
WHEN, WHERE, WHO = frozenset({"when"}), frozenset({"where"}), frozenset({"who", "whom", "whose"})
# What is done with a thing is not what it has: "how many persons use the lift" is not how many it may carry
DEEDS = frozenset("use uses used need needs needed live lives lived get gets got make makes made offer".split())  # noqa: SIM905
TAKES, LASTS = frozenset({"take", "takes", "took", "taken"}), frozenset({"long", "longer", "longest"})
# Words behind which the bound of a condition stands, and whether that is above it
ABOVE = (
    ("more", "than"),
    ("higher", "than"),
    ("longer", "than"),
    ("larger", "than"),
    ("greater", "than"),
    ("over",),
    ("above",),
    ("after",),
)
BELOW = (
    ("less", "than"),
    ("fewer", "than"),
    ("lower", "than"),
    ("shorter", "than"),
    ("smaller", "than"),
    ("cheaper", "than"),
    ("under",),
    ("below",),
    ("before",),
)
AT_LEAST, AT_MOST = (("at", "least"),), (("at", "most"),)
COMPARED = frozenset(
    "more less fewer higher lower longer shorter larger smaller greater bigger taller dearer cheaper heavier older newer expensive above below difference".split()  # noqa: SIM905
)
CHANGES = frozenset(
    [
        "rise",
        "rose",
        "fall",
        "fell",
        "grow",
        "grew",
        "drop",
        "dropped",
        "change",
        "changed",
        "increase",
        "increased",
        "decrease",
        "decreased",
    ]
)
# What columns are called that a word asks for without naming one
_PRICE = ("price", "cost", "fee", "fare", "rent", "rate", "charge")
_LENGTH = ("length", "duration")
# What is founded first is the oldest; what was discovered or hired first need not be
_TIME = ("built", "founded", "commissioned", "opened", "established")
ASKS_FOR: dict[str, tuple[str, ...]] = {
    **dict.fromkeys("cost costs pay pays cheapest cheaper dearest dearer expensive".split(), _PRICE),  # noqa: SIM905
    **dict.fromkeys("long longest longer short shortest shorter".split(), _LENGTH),  # noqa: SIM905
    **dict.fromkeys("high highest higher tall tallest taller".split(), ("height",)),  # noqa: SIM905
    **dict.fromkeys("heavy heaviest heavier light lightest weigh weighs".split(), ("weight", "mass")),  # noqa: SIM905
    **dict.fromkeys("deep deepest deeper".split(), ("depth",)),  # noqa: SIM905
    **dict.fromkeys("wide widest wider".split(), ("width",)),  # noqa: SIM905
    **dict.fromkeys("fast fastest faster slow slowest slower".split(), ("speed",)),  # noqa: SIM905
    **dict.fromkeys("old oldest older new newest newer youngest".split(), _TIME),  # noqa: SIM905
}
ASKS_FOR_PRICE = frozenset(word for word, names in ASKS_FOR.items() if names is _PRICE)
CURRENCIES = {
    "dollar": "USD",
    "dollars": "USD",
    "euro": "EUR",
    "euros": "EUR",
    "pound": "GBP",
    "pounds": "GBP",
    "franc": "CHF",
    "francs": "CHF",
}
# Words that also go with a column that is named: "the highest price"
GENERAL = LARGEST | SMALLEST | OLDEST | NEWEST | COMPARED

"""What judges agree with people, as files of the data folder."""

from foundation.stores.registry import Store

STORE = Store(name="judges", files=("judges/*",), stays="how far a model's marks agree with people's; no person")
STORES = (STORE,)

"""The windows *Sweep* and *Could it show ink here?*: a look before a long run."""

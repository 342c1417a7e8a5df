"""What ScalarDB's own records say about a restored set: rules over records, independent of any store.

The way through: a store hands over its records and Coordinators (``records``), the topology declares what it uses (``facts``),
``judge`` reads once and says torn, unexplained or good (``verdict``). docs/verification.md says what that proves.
"""

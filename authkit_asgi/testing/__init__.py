"""For the tests of those who use this library: a clock to set, a mailbox, the store's conformance
suite."""

"""Whether the tests of the gate would notice a wrong gate: its sources, each time with one small error, before their own tests.

Cosmic Ray finds the places and makes the errors (another operator, another number, a condition turned round, a loop that does not run);
here is only what lets hundreds of them be tried in minutes: a copy of the sources to err in, and a fork of a process that has the heavy
libraries loaded for each error (``trial``). ``make mutants`` writes ``docs/mutants.md``.
"""

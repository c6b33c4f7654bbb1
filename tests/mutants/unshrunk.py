"""A plugin of pytest: one counterexample is enough to kill a mutant, nobody needs the smallest."""

from hypothesis import Phase, settings

settings.register_profile("unshrunk", phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("unshrunk")

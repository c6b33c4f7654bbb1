"""Components replaced by wrong ones, planted to prove that a check notices: every fault names the check that must
kill it."""

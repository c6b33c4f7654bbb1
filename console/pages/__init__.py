"""The console's pages: each answers one question, top to bottom: verdict, evidence, action."""

"""The ops console: ``streamlit run console/app.py``, or ``assay console``. The root is ASSAY_ROOT, else ./.assay.

Each page answers one question: verdict, evidence, action. A page reads the store, so a server that is down blanks nothing;
Prefect is imported (it takes seconds) after the first page has been drawn.
"""

from __future__ import annotations

import streamlit as st

from console import actions
from console.pages.parts import frame, icons
from store.errors import AssayError

PAGES = [
    st.Page("pages/overview.py", title="Overview", default=True),
    st.Page("pages/drift.py", title="Drift"),
    st.Page("pages/proving.py", title="Proving"),
    st.Page("pages/retrain.py", title="Retrain"),
]

frame.INSIDE.set(True)
st.set_page_config(page_title="assay", page_icon=str(icons.STATIC / "mark.svg"), layout="wide")
st.logo(str(icons.STATIC / "logo.svg"), size="large")
st.html(icons.STATIC / "style.css")
page = st.navigation(PAGES, position="top")
try:
    frame.root()
    page.run()
except AssayError as error:
    frame.broken(error)
actions.warm()

"""Model cards: what a model is and how it does on cases, changed copies of them, phantoms."""

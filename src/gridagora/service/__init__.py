"""The live platform's web service: frame, identity and the API's resources; FastAPI is used only here."""

"""Bodies of requests and answers, as the server and the typed client know them."""

"""A trained network behind HTTP: `app.create_app` makes the application, `server.serve` runs it."""

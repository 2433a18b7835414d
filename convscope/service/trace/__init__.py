"""A served model and a picture in; every number between the two out, for the page that shows where one comes from."""

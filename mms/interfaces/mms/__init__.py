"""The interface of MMS: a function `handle(data, context)`, or a class with such a method."""

"""A book with nothing around it: what places and cancels in it, compiled where the rules are, as in the venue placing.py is."""

from servers.domain.book import Book
from servers.domain.matching import plan
from servers.domain.model import Order


def place(book: Book, order: Order) -> list[tuple[int, Order, int]]:
    """Match an order with a limit and let its rest rest. Returns its fills: (step, maker, lots), in time order."""
    opposite = book.opposite[order.side]
    steps = plan(order, opposite, order.ticks, order.lots, -1).steps
    for _, maker, lots in steps:
        maker.filled_lots += lots
        order.filled_lots += lots
        if maker.filled_lots == maker.lots:
            opposite.remove(maker, lots)
        else:
            opposite.reduce(maker, lots)
    if order.filled_lots < order.lots:
        book.sides[order.side].add(order)
    return steps


def cancel(book: Book, order: Order) -> None:
    """Take an order out, unless it was filled or cancelled before."""
    rest = order.lots - order.filled_lots
    if rest:
        book.sides[order.side].remove(order, rest)
        order.filled_lots = order.lots

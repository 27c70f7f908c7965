"""A deliberately naive order book: one list, sorted anew for each message. Slow, short, obviously right."""


class NaiveBook:
    """The rules of the order book written down without any thought of speed; whole ticks and Wh."""

    def __init__(self, self_match="cancel_resting"):
        self.self_match = self_match
        self.orders = []  # every order ever, by number
        self.trades = []  # (buyer, seller, wh, ticks, at, maker, taker)
        self.rejections = []  # (message, reason)
        self.now = 0
        self.turn = 0  # grows whenever an order takes a new place in a queue
        self.messages = 0

    def apply(self, message):
        if message.get("at") is not None:
            self.now = message["at"]
        for order in self.orders:
            until = order["valid_until"]
            if order["status"] == "resting" and until is not None and until <= self.now:
                order.update(status="expired", open=0)
        getattr(self, message["action"])(message)
        self.messages += 1

    def expire(self, message):
        pass

    def new(self, message):
        order = {
            "number": len(self.orders),
            "participant": message.get("participant"),
            "side": message["side"],
            "kind": message.get("kind", "limit"),
            "ticks": message.get("ticks"),
            "quantity": message["wh"],
            "open": message["wh"],
            "filled": 0,
            "valid_until": message.get("valid_until"),
            "status": "incoming",
        }
        self.orders.append(order)
        if order["kind"] == "fill_or_kill" and not self.can_fill(order):
            order.update(status="killed", open=0)
        else:
            self.trade_or_rest(order)

    def cancel(self, message):
        order = self.target(message)
        if order:
            order.update(status="cancelled", open=0)

    def amend(self, message):
        order = self.target(message)
        if not order:
            return
        ticks = message["ticks"] if message.get("ticks") is not None else order["ticks"]
        quantity = message["wh"] if message.get("wh") is not None else order["quantity"]
        keeps_place = ticks == order["ticks"] and quantity <= order["quantity"]
        order["quantity"] = max(quantity, order["filled"])
        order["open"] = order["quantity"] - order["filled"]
        if order["open"] == 0:
            order["status"] = "filled"
        elif not keeps_place:
            order.update(ticks=ticks, status="incoming")
            self.trade_or_rest(order)

    def target(self, message):
        number = message["order"]
        if not 0 <= number < len(self.orders):
            self.rejections.append((self.messages, "no such order"))
        elif self.orders[number]["status"] != "resting":
            self.rejections.append((self.messages, "order is no longer in the book"))
        else:
            return self.orders[number]
        return None

    def queue(self, side):
        resting = [order for order in self.orders if order["status"] == "resting" and order["side"] == side]
        sign = 1 if side == "sell" else -1
        return sorted(resting, key=lambda order: (sign * order["ticks"], order["turn"]))

    def reachable(self, order):
        for maker in self.queue("sell" if order["side"] == "buy" else "buy"):
            if order["kind"] != "market":
                gain = order["ticks"] - maker["ticks"]
                if (gain if order["side"] == "buy" else -gain) < 0:
                    return
            yield maker

    def own(self, order, maker):
        return (
            self.self_match != "allow"
            and order["participant"] is not None
            and order["participant"] == maker["participant"]
        )

    def can_fill(self, order):
        found = 0
        for maker in self.reachable(order):
            if self.own(order, maker):
                if self.self_match == "cancel_incoming":
                    break
                continue
            found += maker["open"]
        return found >= order["open"]

    def trade_or_rest(self, order):
        for maker in self.reachable(order):
            if not order["open"]:
                break
            if self.own(order, maker):
                if self.self_match == "cancel_incoming":
                    order.update(status="self_match", open=0)
                    return
                maker.update(status="self_match", open=0)
                continue
            self.trade(maker, order)
        if not order["open"]:
            order["status"] = "filled"
        elif order["kind"] == "limit":
            self.turn += 1
            order.update(status="resting", turn=self.turn)
        else:
            order.update(status="killed", open=0)

    def trade(self, maker, taker):
        wh = min(maker["open"], taker["open"])
        buyer, seller = (taker, maker) if taker["side"] == "buy" else (maker, taker)
        parties = (buyer["participant"], seller["participant"])
        self.trades.append((*parties, wh, maker["ticks"], self.now, maker["number"], taker["number"]))
        for order in (maker, taker):
            order["open"] -= wh
            order["filled"] += wh
            if not order["open"]:
                order["status"] = "filled"

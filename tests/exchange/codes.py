"""Every code that Binance documents for its spot interface, by what it proves about an order that was sent."""

from __future__ import annotations

from exchange.errors import Outcome

# Nothing is proven: the request may have been carried out, or the code belongs to sessions that we never open.
UNPROVEN = (
    -1000, -1001, -1006, -1007, -1008, -1016, -1033, -1034, -1035, -1169, -1170, -1171, -1172, -1173, -1174, -1175, -1176,
    -1177, -1178, -1179, -1180, -1181, -1183, -1184, -1185, -1186, -1187, -1188, -1189, -1190, -1191, -2035, -2036, -2042,
    -2043,
)  # fmt: skip
MALFORMED = (
    -1014, -1020, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1114, -1115, -1116, -1117, -1118, -1119, -1120,
    -1122, -1125, -1127, -1128, -1130, -1134, -1135, -1139, -1145, -1151, -1152, -1153, -1155, -1158, -1160, -1161, -1165,
    -1166, -1168, -1182, -1194, -1196, -1197, -1198, -1199, -1210, -1211, -1220, -1221, -1222, -1223, -1224, -1225, -2039,
)  # fmt: skip
NAMED = {
    -1002: Outcome.KEY_INVALID,
    -1003: Outcome.BACKOFF_WEIGHT,
    -1013: Outcome.REJECTED_FILTER,
    -1015: Outcome.BACKOFF_ORDERS,
    -1021: Outcome.REJECTED_TIME,
    -1022: Outcome.KEY_INVALID,
    -1111: Outcome.REJECTED_FILTER,
    -1112: Outcome.REJECTED_MARKET,
    -1121: Outcome.REJECTED_MARKET,
    -2011: Outcome.QUERY,
    -2013: Outcome.NOT_VISIBLE,
    -2014: Outcome.KEY_INVALID,
    -2015: Outcome.KEY_INVALID,
    -2016: Outcome.REJECTED_MARKET,
    -2021: Outcome.READ_BOTH,
    -2022: Outcome.READ_BOTH,
    -2026: Outcome.TERMINAL_EMPTY,
}
# Only its words say what it means.
BY_WORDS = (-2010,)
# What -2010 says, and what that proves.
REFUSALS = {
    "Duplicate order sent.": Outcome.EXISTS,
    "Market is closed.": Outcome.REJECTED_MARKET,
    "Account has insufficient balance for requested action.": Outcome.REJECTED_FUNDS,
    "Market orders are not supported for this symbol.": Outcome.REJECTED_MARKET,
    "Iceberg orders are not supported for this symbol.": Outcome.REJECTED_MARKET,
    "Stop loss orders are not supported for this symbol.": Outcome.REJECTED_MARKET,
    "Stop loss limit orders are not supported for this symbol.": Outcome.REJECTED_MARKET,
    "Take profit orders are not supported for this symbol.": Outcome.REJECTED_MARKET,
    "Take profit limit orders are not supported for this symbol.": Outcome.REJECTED_MARKET,
    "Order amend is not supported for this symbol.": Outcome.REJECTED_MARKET,
    "OCO orders are not supported for this symbol": Outcome.REJECTED_MARKET,
    "Quote order qty market orders are not support for this symbol.": Outcome.REJECTED_MARKET,
    "Trailing stop orders are not supported for this symbol.": Outcome.REJECTED_MARKET,
    "Order cancel-replace is not supported for this symbol.": Outcome.REJECTED_MARKET,
    "Order book liquidity is less than symbol minimum quantity.": Outcome.REJECTED_MARKET,
    "Price * QTY is zero or less.": Outcome.REJECTED_FILTER,
    "Filter failure: LOT_SIZE": Outcome.REJECTED_FILTER,
    "Filter failure: MAX_NUM_ORDERS": Outcome.REJECTED_SLOTS,
    "Filter failure: EXCHANGE_MAX_NUM_ALGO_ORDERS": Outcome.REJECTED_SLOTS,
    "IcebergQty exceeds QTY.": Outcome.REJECTED_REQUEST,
    "Unsupported order combination": Outcome.REJECTED_REQUEST,
    "Order amend (quantity increase) is not supported.": Outcome.REJECTED_REQUEST,
    "Order would trigger immediately.": Outcome.STOP_WOULD_TRIGGER,
    "Order would immediately match and take.": Outcome.REJECTED_PRICE,
    "The relationship of the prices for the orders is not correct.": Outcome.REJECTED_PRICE,
    "This action is disabled on this account.": Outcome.REJECTED_ACCOUNT,
    "This account may not place or cancel orders.": Outcome.REJECTED_ACCOUNT,
    "This symbol is not permitted for this account.": Outcome.REJECTED_ACCOUNT,
    "This symbol is restricted for this account.": Outcome.REJECTED_ACCOUNT,
    # These speak of another request than a new order: they prove nothing about one.
    "Unknown order sent.": Outcome.UNKNOWN,
    "Order was not canceled due to cancel restrictions.": Outcome.UNKNOWN,
    "Cancel order is invalid. Check origClOrdId and orderId.": Outcome.UNKNOWN,
    "FIX API trading is not enabled.": Outcome.UNKNOWN,
}
EVERY = (*UNPROVEN, *MALFORMED, *NAMED, *BY_WORDS)
# Not documented any more, still heard: a receive window that is too large.
KNOWN = (*EVERY, -1131)

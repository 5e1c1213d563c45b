-- Refuses a JSON body that two readers could read differently: a field given twice, or text that is not JSON to the letter.
--
-- The transcoder keeps the last of two equal keys in silence and reads more than JSON (names without quotes, commas too
-- many), so {"quantity":"1","quantity":"9"} would buy 9. Two keys of an object are one field when they are equal after
-- their escapes, or when one is the field's name in the contract and the other its JSON name: client_order_id and
-- clientOrderId. Values are read only as far as it takes to find the next key; what they mean is the transcoder's.

local byte, char, find, sub = string.byte, string.char, string.find, string.sub

-- What a body of the contract needs, many times over. The bounds keep one worker's time for one body in milliseconds.
local DEPTH_MAX = 32
local MEMBERS_MAX = 8192
local KEY_MAX = 512

local MALFORMED = "the body is not JSON"
local SHORT = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/"}
local LITERALS = {[byte("t")] = "true", [byte("f")] = "false", [byte("n")] = "null"}
local QUOTE, COLON, COMMA = byte('"'), byte(":"), byte(",")
local OBJECT, OBJECT_END, LIST, LIST_END = byte("{"), byte("}"), byte("["), byte("]")

local function refuse(why)
  error({why = why}, 0)
end

-- Where the next token begins, and its first byte.
local function token(text, at)
  local start = find(text, "[^ \t\n\r]", at)
  if not start then refuse(MALFORMED) end
  return start, byte(text, start)
end

local function utf8(code)
  if code < 0x80 then return char(code) end
  local last = 0x80 + code % 0x40
  if code < 0x800 then return char(0xC0 + (code - code % 0x40) / 0x40, last) end
  local middle = (code - code % 0x40) / 0x40 % 0x40
  return char(0xE0 + (code - code % 0x1000) / 0x1000, 0x80 + middle, last)
end

-- The end of the string that opens at `at`, and whether it has escapes.
local function string_end(text, at)
  local escaped = false
  local stop = at
  while true do
    stop = find(text, '["\\%z\1-\31]', stop + 1)
    local what = stop and byte(text, stop)
    if what == QUOTE then return stop, escaped end
    if what ~= 92 then refuse(MALFORMED) end
    escaped = true
    stop = stop + 1
    if find(text, '^["\\/bfnrt]', stop) then
      -- One byte, which has been passed.
    elseif find(text, "^u%x%x%x%x", stop) then
      stop = stop + 4
    else
      refuse(MALFORMED)
    end
  end
end

-- Names of fields are ASCII, so halves of surrogate pairs may stay apart.
local function unescaped(raw)
  return (raw:gsub("\\(.)(%x?%x?%x?%x?)", function(kind, digits)
    if kind == "u" then return utf8(tonumber(digits, 16)) end
    return SHORT[kind] .. digits
  end))
end

-- The JSON name of a field of the contract: client_order_id is clientOrderId.
local function json_name(key)
  if not find(key, "_", 1, true) then return key end
  return (key:gsub("_+(.?)", string.upper))
end

local function number_end(text, at)
  local _, stop = find(text, "^%-?%d+", at)
  if not stop or find(text, "^%-?0%d", at) then refuse(MALFORMED) end
  local _, fraction = find(text, "^%.%d+", stop + 1)
  stop = fraction or stop
  local _, exponent = find(text, "^[eE][+-]?%d+", stop + 1)
  return exponent or stop
end

-- Of the body that is being read: nothing waits meanwhile.
local members

local value

local function object_end(text, at, depth)
  local seen = {}
  local start, first = token(text, at + 1)
  if first == OBJECT_END then return start end
  while true do
    if first ~= QUOTE then refuse(MALFORMED) end
    local stop, escaped = string_end(text, start)
    if stop - start > KEY_MAX then refuse("the name of a field is too long") end
    local key = sub(text, start + 1, stop - 1)
    local name = json_name(escaped and unescaped(key) or key)
    if seen[name] then
      -- A caller's bytes are repeated only where they look like the name of a field.
      refuse((find(name, "^%w+$") and #name <= 64 and "the field " .. name or "a field") .. " is given twice")
    end
    seen[name] = true
    members = members + 1
    if members > MEMBERS_MAX then refuse("the body has too many fields") end
    start, first = token(text, stop + 1)
    if first ~= COLON then refuse(MALFORMED) end
    start, first = token(text, value(text, start + 1, depth) + 1)
    if first == OBJECT_END then return start end
    if first ~= COMMA then refuse(MALFORMED) end
    start, first = token(text, start + 1)
  end
end

local function list_end(text, at, depth)
  local start, first = token(text, at + 1)
  if first == LIST_END then return start end
  start = at
  while true do
    members = members + 1
    if members > MEMBERS_MAX then refuse("the body has too many fields") end
    start, first = token(text, value(text, start + 1, depth) + 1)
    if first == LIST_END then return start end
    if first ~= COMMA then refuse(MALFORMED) end
  end
end

-- The last byte of the value that begins at or after `at`.
value = function(text, at, depth)
  local start, first = token(text, at)
  if first == QUOTE then
    return (string_end(text, start))
  elseif first == OBJECT or first == LIST then
    if depth >= DEPTH_MAX then refuse("the body is nested too deeply") end
    return (first == OBJECT and object_end or list_end)(text, start, depth + 1)
  elseif LITERALS[first] then
    local word = LITERALS[first]
    if sub(text, start, start + #word - 1) ~= word then refuse(MALFORMED) end
    return start + #word - 1
  end
  return number_end(text, start)
end

local function check(text)
  members = 0
  local stop = value(text, 1, 0)
  if find(text, "[^ \t\n\r]", stop + 1) then refuse(MALFORMED) end
end

function envoy_on_request(handle)
  local body = handle:body()
  if not body or body:length() == 0 then return end
  local good, wrong = pcall(check, body:getBytes(0, body:length()))
  if good then return end
  if type(wrong) == "table" then
    handle:respond({[":status"] = "400"}, wrong.why)
  else
    handle:logErr(wrong)
    handle:respond({[":status"] = "500"}, "internal error")
  end
end

-- Tells servers the SHA-256 of a signed REST call's body: what its caller signed, which they themselves never see, as the
-- transcoder makes a message of it. Of gRPC calls they hash the message.
--
-- FIPS 180-4, 6.2. Envoy's Lua has no hash of its own. 256 KiB, the largest body, take a few milliseconds.

local band, bnot, bxor, lshift, ror, rshift, tobit = bit.band, bit.bnot, bit.bxor, bit.lshift, bit.ror, bit.rshift, bit.tobit
local byte, char, floor, rep = string.byte, string.char, math.floor, string.rep

-- The first 32 bits of the fractional parts of the cube roots of the first 64 primes, and of the square roots of the first 8.
local K, H = {}, {}
do
  local function fraction(root) return tobit(floor((root - floor(root)) * 4294967296)) end
  local number, found = 2, 0
  while found < 64 do
    local prime = true
    for divisor = 2, floor(number ^ 0.5) do
      if number % divisor == 0 then prime = false break end
    end
    if prime then
      found = found + 1
      K[found] = fraction(number ^ (1 / 3))
      if found <= 8 then H[found] = fraction(number ^ 0.5) end
    end
    number = number + 1
  end
end

local function word(number)
  return char(band(rshift(number, 24), 255), band(rshift(number, 16), 255), band(rshift(number, 8), 255), band(number, 255))
end

local function sha256(text)
  local bits = #text * 8
  local padded = text .. "\128" .. rep("\0", (55 - #text) % 64) .. word(floor(bits / 4294967296)) .. word(bits % 4294967296)
  local h1, h2, h3, h4, h5, h6, h7, h8 = H[1], H[2], H[3], H[4], H[5], H[6], H[7], H[8]
  local w = {}
  for start = 1, #padded, 64 do
    for i = 1, 16 do
      local b1, b2, b3, b4 = byte(padded, start + i * 4 - 4, start + i * 4 - 1)
      w[i] = lshift(b1, 24) + lshift(b2, 16) + lshift(b3, 8) + b4
    end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
      local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
      w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, h = h1, h2, h3, h4, h5, h6, h7, h8
    for i = 1, 64 do
      local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
      local choice = bxor(band(e, f), band(bnot(e), g))
      local t1 = h + s1 + choice + K[i] + w[i]
      local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
      local majority = bxor(band(a, b), band(a, c), band(b, c))
      h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + s0 + majority)
    end
    h1, h2, h3, h4 = tobit(h1 + a), tobit(h2 + b), tobit(h3 + c), tobit(h4 + d)
    h5, h6, h7, h8 = tobit(h5 + e), tobit(h6 + f), tobit(h7 + g), tobit(h8 + h)
  end
  return word(h1) .. word(h2) .. word(h3) .. word(h4) .. word(h5) .. word(h6) .. word(h7) .. word(h8)
end

function envoy_on_request(handle)
  if not handle:headers():get("signature-input") then return end
  local body = handle:body()
  local text = body and body:length() > 0 and body:getBytes(0, body:length()) or ""
  -- What a client sends under this name is taken off before. The headers are asked for anew: the body was waited for.
  handle:headers():replace("x-venue-body-sha256", handle:base64Escape(sha256(text)))
end

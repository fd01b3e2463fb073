# Writes a copy of a .proto in which strings are bytes, for protoc-c only. The wire format is the same, but protobuf-c then keeps the
# length instead of cutting at an embedded NUL, and no copy to a C string is made. Who decodes checks UTF-8 where it matters.
#   cmake -DINPUT=F.proto -DOUTPUT=G.proto -P BytesProto.cmake
file(READ ${INPUT} text)
# Brackets, semicolons and backslashes are CMake's own; none is changed by these patterns.
string(REGEX REPLACE "map<string, string>" "repeated StringPair" text "${text}")
string(REGEX REPLACE "(^|[^A-Za-z_])string ([a-z_]+ = )" "\\1bytes \\2" text "${text}")
file(WRITE ${OUTPUT} "${text}")

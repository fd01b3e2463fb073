# Turns a file into a C array: cmake -DINPUT=F -DOUTPUT=F.c -DSYMBOL=name -P Embed.cmake
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT} "#include <stddef.h>\nconst unsigned char ${SYMBOL}[] = {${bytes}};\nconst size_t ${SYMBOL}_size = sizeof ${SYMBOL};\n")

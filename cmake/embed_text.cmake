# cmake -DOUT=FILE -DTEXT=FILE -DNAME=kName -P embed_text.cmake: a C++ file with the bytes of a text file.
file(READ ${TEXT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
file(WRITE ${OUT} "namespace imgtrain {\nnamespace {\nconst char kBytes[] = {${bytes}0};\n}\nextern const char* const ${NAME};\nconst char* const ${NAME} = kBytes;\n}  // namespace imgtrain\n")

# Every library but libtorch, as imported targets. Debian 12 has all of them; scripts/setup installs them.
find_package(PkgConfig REQUIRED)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(archive REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(xml2 REQUIRED IMPORTED_TARGET libxml-2.0)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(png REQUIRED IMPORTED_TARGET libpng)
pkg_check_modules(webp REQUIRED IMPORTED_TARGET libwebp)
pkg_check_modules(zlib REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(curl REQUIRED IMPORTED_TARGET libcurl)
find_package(JPEG REQUIRED)
find_package(TBB REQUIRED)
find_package(Boost 1.81.0 EXACT CONFIG REQUIRED COMPONENTS program_options json)

# Asio is headers only and reads files through io_uring only where it was told to when it was compiled. Everything that
# includes boost/asio must be told the same, or one program would hold two versions of its classes.
pkg_check_modules(uring REQUIRED IMPORTED_TARGET liburing)
add_library(boost_asio INTERFACE)
target_link_libraries(boost_asio INTERFACE Boost::headers PkgConfig::uring)
target_compile_definitions(boost_asio INTERFACE BOOST_ASIO_HAS_IO_URING=1)
